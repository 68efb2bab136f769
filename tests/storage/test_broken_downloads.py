"""Fetching over an unreliable network gives exactly the bytes or no file, and the next fetch succeeds."""

import dataclasses
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tasks.errors import InputError, SpinneretError, UnavailableError
from tasks.storage import client
from tasks.storage.aliases import read_alias
from tasks.storage.fetch import fetch, read_manifest, resolve
from tasks.storage.publish import publish
from tasks.storage.verify import verify
from tests.factories.waiting import no_file_larger_than
from tests.storage.conftest import Line, connected
from tests.storage.faults import Fault, Held, delayed, got_cut, got_flipped, got_reset, refused
from tests.storage.gate import Exchange
from tests.storage.invariant import contents

pytestmark = pytest.mark.usefixtures("short_pauses")

FILE, MANIFEST, ALIAS = "/model.safetensors", "/manifest.json", "/aliases/latest.json"
DENIED, SLOW_DOWN = refused(403, "AccessDenied"), refused(503, "SlowDown")


def attempt(line: Line, target: Path) -> SpinneretError | None:
    """The error of a fetch, None if there is none; one that is not a SpinneretError fails the test."""
    try:
        fetch(line.through, "jokes", "latest", target)
    except SpinneretError as error:
        return error
    return None


TRANSIENT = {
    "the alias: 503 SlowDown": Fault(SLOW_DOWN, "GET", ALIAS, times=2),
    "the manifest: 500": Fault(refused(500, "InternalError"), "GET", MANIFEST, times=2),
    "a file: throttled": Fault(refused(429, "TooManyRequests"), "GET", FILE, times=2),
    "a file: cut off": Fault(got_cut, "GET", FILE, times=3),
    "a file: reset": Fault(got_reset, "GET", FILE, times=3),
    "latency": Fault(delayed(0.05), "GET", "").lasting(),
}


@pytest.mark.parametrize("fault", TRANSIENT.values(), ids=TRANSIENT)
def test_a_transient_fault_is_retried(line: Line, release: Path, tmp_path: Path, fault: Fault) -> None:
    publish(line.direct, release, "jokes")
    line.gate.faults.append(fault := dataclasses.replace(fault))
    assert attempt(line, tmp_path / "out" / "target") is None
    assert fault.hits >= min(fault.times, 3)
    assert contents(tmp_path / "out") == {f"target/{path}": data for path, data in contents(release).items()}


DAMAGED = {
    f"{what}: {how}": Fault(act, "GET", key)
    for what, key in {"the alias": ALIAS, "the manifest": MANIFEST}.items()
    for how, act in {"cut off": got_cut, "reset": got_reset, "one flipped bit": got_flipped}.items()
}


@pytest.mark.parametrize("fault", DAMAGED.values(), ids=DAMAGED)
def test_a_json_object_that_is_damaged_on_the_network_is_read_again(
    line: Line, release: Path, tmp_path: Path, fault: Fault
) -> None:
    version = publish(line.direct, release, "jokes").version
    line.gate.faults.append(fault := dataclasses.replace(fault))
    assert fetch(line.through, "jokes", "latest", tmp_path / "target").version == version
    assert fault.hits == 1
    line.gate.faults.append(again := dataclasses.replace(fault))
    alias = read_alias(line.direct, "jokes", "latest")
    assert read_alias(line.through, "jokes", "latest") == alias
    assert again.hits == (fault.key == ALIAS)


LASTING: dict[str, tuple[Fault, type[SpinneretError]]] = {
    "the alias: 403": (Fault(DENIED, "GET", ALIAS), InputError),
    "the alias: 503 SlowDown": (Fault(SLOW_DOWN, "GET", ALIAS), UnavailableError),
    "the alias: reset": (Fault(got_reset, "GET", ALIAS), UnavailableError),
    "the manifest: 403": (Fault(DENIED, "GET", MANIFEST), InputError),
    "the manifest: reset": (Fault(got_reset, "GET", MANIFEST), UnavailableError),
    "the manifest: one flipped bit": (Fault(got_flipped, "GET", MANIFEST), InputError),
    "a file: 403": (Fault(DENIED, "GET", FILE), InputError),
    "a file: 503 SlowDown": (Fault(SLOW_DOWN, "GET", FILE), UnavailableError),
    "a file: cut off": (Fault(got_cut, "GET", FILE), UnavailableError),
    "a file: reset": (Fault(got_reset, "GET", FILE), UnavailableError),
    "a file: one flipped bit": (Fault(got_flipped, "GET", FILE), InputError),
}


@pytest.mark.parametrize(("fault", "wanted"), LASTING.values(), ids=LASTING)
def test_a_lasting_fault_leaves_no_files_and_the_next_fetch_succeeds(
    line: Line, release: Path, tmp_path: Path, fault: Fault, wanted: type[SpinneretError]
) -> None:
    publish(line.direct, release, "jokes")
    line.gate.faults.append(fault := fault.lasting())
    error = attempt(line, tmp_path / "out" / "target")
    assert type(error) is wanted
    assert fault.hits
    assert list((tmp_path / "out").rglob("*")) == []
    line.gate.faults.clear()
    assert attempt(line, tmp_path / "out" / "target") is None
    assert contents(tmp_path / "out" / "target") == contents(release)


def test_a_store_that_stops_answering_is_asked_again(
    line: Line, release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(line.direct, release, "jokes")
    silent = Held("before")
    line.gate.faults.append(fault := Fault(silent, "GET", FILE, times=2))
    monkeypatch.setattr(client, "_client", partial(client._client, read_s=0.5))
    with connected(line.through_endpoint, line.direct.prefix) as impatient:
        fetch(impatient, "jokes", "latest", tmp_path / "target")
    silent.go.set()
    assert fault.hits == 2
    assert contents(tmp_path / "target") == contents(release)


def test_a_fetch_succeeds_after_a_full_disk_has_space_again(line: Line, release: Path, tmp_path: Path) -> None:
    publish(line.direct, release, "jokes")
    with no_file_larger_than(50_000):
        error = attempt(line, tmp_path / "out" / "target")
    assert isinstance(error, InputError)
    assert "too small" in str(error)
    assert list((tmp_path / "out").rglob("*")) == []
    assert attempt(line, tmp_path / "out" / "target") is None
    assert contents(tmp_path / "out" / "target") == contents(release)


@pytest.mark.parametrize("act", [got_cut, got_reset], ids=["cut off", "reset"])
def test_verify_resumes_a_broken_stream(line: Line, release: Path, act: Callable[[Exchange], None]) -> None:
    publish(line.direct, release, "jokes")
    manifest = read_manifest(line.direct, "jokes", resolve(line.direct, "jokes", "latest"))
    line.gate.faults.append(fault := Fault(act, "GET", FILE, times=2))
    verify(line.through, manifest)
    assert fault.hits == 2


def test_verify_detects_a_flipped_bit(line: Line, release: Path) -> None:
    publish(line.direct, release, "jokes")
    manifest = read_manifest(line.direct, "jokes", resolve(line.direct, "jokes", "latest"))
    line.gate.faults.append(fault := Fault(got_flipped, "GET", FILE))
    with pytest.raises(InputError, match=r"model\.safetensors has the sha256"):
        verify(line.through, manifest)
    assert fault.hits == 1
