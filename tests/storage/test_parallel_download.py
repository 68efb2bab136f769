"""A large file is downloaded in parts by several threads: same bytes, same errors, never more than stated."""

import os
import threading
from pathlib import Path

import pytest

from tasks.errors import InputError, UnavailableError
from tasks.storage.fetch import fetch
from tasks.storage.manifest import FileEntry
from tasks.storage.publish import publish
from tasks.storage.receiving import PART, fetch_file
from tasks.storage.store import Store
from tests.factories.waiting import no_file_larger_than
from tests.storage.conftest import Line
from tests.storage.faults import Fault, got_cut, got_flipped, got_reset, refused
from tests.storage.gate import Exchange, pass_on
from tests.storage.invariant import contents

pytestmark = pytest.mark.usefixtures("short_pauses")

FILE = "/model.safetensors"


@pytest.fixture
def large(release: Path) -> Path:
    (release / "model.safetensors").write_bytes(os.urandom(4 * PART + 12345))
    return release


def ranges(store: Store) -> list[str]:
    """Records the ranges of the large file that are requested from now on."""
    found: list[str] = []

    def record(params: dict[str, str], **_: object) -> None:
        if params["Key"].endswith(FILE):
            found.append(params.get("Range", "all"))

    store.client.meta.events.register("provide-client-params.s3.GetObject", record)
    return found


def test_a_large_file_is_downloaded_in_parts_and_each_byte_once(line: Line, large: Path, tmp_path: Path) -> None:
    publish(line.direct, large, "jokes")
    asked, progress = ranges(line.through), list[tuple[int, int]]()
    fetched = fetch(line.through, "jokes", "latest", tmp_path / "target", on_progress=lambda *now: progress.append(now))
    assert contents(tmp_path / "target") == contents(large)
    size = (large / "model.safetensors").stat().st_size
    assert sorted(asked) == sorted(f"bytes={at}-{min(at + PART, size) - 1}" for at in range(0, size, PART))
    assert [done for done, _ in progress] == sorted(done for done, _ in progress)
    assert progress[-1] == (fetched.bytes, fetched.bytes)


def test_parts_are_downloaded_in_parallel(line: Line, large: Path, tmp_path: Path) -> None:
    together = threading.Barrier(3, timeout=20)

    def wait_for_others(exchange: Exchange) -> None:
        together.wait()
        pass_on(exchange)

    publish(line.direct, large, "jokes")
    line.gate.faults.append(Fault(wait_for_others, "GET", FILE, times=3))
    fetch(line.through, "jokes", "latest", tmp_path / "target")
    assert contents(tmp_path / "target") == contents(large)


@pytest.mark.parametrize("act", [got_cut, got_reset, refused(503, "SlowDown")], ids=["cut", "reset", "refused"])
def test_a_broken_part_is_resumed_where_it_broke(line: Line, large: Path, tmp_path: Path, act: object) -> None:
    publish(line.direct, large, "jokes")
    fault = Fault(act, "GET", FILE, times=3)  # type: ignore[arg-type]
    line.gate.faults.append(fault)
    asked = ranges(line.through)
    fetch(line.through, "jokes", "latest", tmp_path / "target")
    assert fault.hits == 3
    assert contents(tmp_path / "target") == contents(large)
    if act is got_cut:  # what is on its way at a reset may be lost
        assert len(set(asked)) == len(asked)


def test_one_wrong_bit_in_a_part_is_detected_and_leaves_no_files(line: Line, large: Path, tmp_path: Path) -> None:
    publish(line.direct, large, "jokes")
    line.gate.faults.append(Fault(got_flipped, "GET", FILE))
    with pytest.raises(InputError, match=r"model.safetensors is damaged: .*; publish the release again"):
        fetch(line.through, "jokes", "latest", tmp_path / "out" / "target")
    assert not list((tmp_path / "out").iterdir())


def test_a_part_that_never_arrives_ends_the_fetch_and_leaves_no_files(line: Line, large: Path, tmp_path: Path) -> None:
    publish(line.direct, large, "jokes")
    line.gate.faults.append(Fault(got_cut, "GET", FILE).lasting())
    with pytest.raises(UnavailableError):
        fetch(line.through, "jokes", "latest", tmp_path / "out" / "target")
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize("stated", [100, 0, 3 * PART, 4 * PART], ids=str)
@pytest.mark.parametrize("more", [1, 3 * PART], ids=str)
def test_never_more_is_written_than_is_stated(store: Store, tmp_path: Path, stated: int, more: int) -> None:
    store.client.put_object(Bucket=store.bucket, Key=store.key("x"), Body=bytes(stated + more))
    came: list[int] = []
    with pytest.raises(InputError, match=r"x is damaged: it has .* bytes"):
        fetch_file(store, store.key("x"), FileEntry(stated, "a" * 64), tmp_path / "x", came.append)
    assert sum(came) <= stated
    assert (tmp_path / "x").stat().st_size <= stated


@pytest.mark.parametrize("less", [1, PART, 3 * PART], ids=str)
def test_an_object_that_is_too_small_is_damaged(store: Store, tmp_path: Path, less: int) -> None:
    store.client.put_object(Bucket=store.bucket, Key=store.key("x"), Body=bytes(3 * PART + 1 - less))
    with pytest.raises(InputError, match="x is damaged"):
        fetch_file(store, store.key("x"), FileEntry(3 * PART + 1, "a" * 64), tmp_path / "x", lambda _: None)


def test_a_missing_large_object_is_named(store: Store, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="x is missing"):
        fetch_file(store, store.key("x"), FileEntry(3 * PART, "a" * 64), tmp_path / "x", lambda _: None)


def test_a_store_without_ranges_is_refused(line: Line, large: Path, tmp_path: Path) -> None:
    def all_of_it(exchange: Exchange) -> None:
        answer = exchange.forward(exchange.receive())
        kept = [(name, value) for name, value in answer.headers if name.lower() != "content-range"]
        exchange.give(type(answer)(200, kept, answer.body))

    publish(line.direct, large, "jokes")
    line.gate.faults.append(Fault(all_of_it, "GET", FILE).lasting())
    with pytest.raises(InputError, match="only as a whole"):
        fetch(line.through, "jokes", "latest", tmp_path / "target")


def test_a_disk_that_fills_up_in_a_part_leaves_no_files(store: Store, large: Path, tmp_path: Path) -> None:
    publish(store, large, "jokes")
    with no_file_larger_than(3 * PART), pytest.raises(InputError, match="too small for jokes"):
        fetch(store, "jokes", "latest", tmp_path / "out" / "target")
    assert not list((tmp_path / "out").iterdir())
