"""Publishing over an unreliable network: the alias always names a whole version, and the next publication succeeds."""

import dataclasses
from pathlib import Path

import pytest

from tasks.errors import InputError, SpinneretError, UnavailableError
from tasks.storage.client import ATTEMPTS
from tasks.storage.publish import publish
from tests.storage.conftest import SMALL_PART, Line
from tests.storage.faults import (
    Fault,
    answer_lost,
    answer_replaced,
    delayed,
    got_cut,
    got_flipped,
    got_reset,
    refused,
    sent_cut,
    sent_flipped,
    sent_reset,
)
from tests.storage.invariant import assert_the_next_try_finishes, publish_and_change, version_that_is_whole, watched

pytestmark = pytest.mark.usefixtures("short_pauses", "small_parts")

SLOW_DOWN, INTERNAL, DENIED = refused(503, "SlowDown"), refused(500, "InternalError"), refused(403, "AccessDenied")
FILE, MANIFEST, ALIAS = "/model.safetensors", "/manifest.json", "/aliases/latest.json"


def attempt(line: Line, release: Path) -> SpinneretError | None:
    """The error of a publication, None if there is none; one that is not a SpinneretError fails the test."""
    try:
        publish(line.through, release, "jokes")
    except SpinneretError as error:
        return error
    return None


TRANSIENT = {
    "a file is refused": [
        Fault(SLOW_DOWN, "PUT", FILE),
        Fault(INTERNAL, "PUT", FILE),
        Fault(refused(429, "TooManyRequests"), "PUT", FILE),
        Fault(refused(503, ""), "HEAD", FILE, times=2),
    ],
    "a file is damaged": [Fault(act, "PUT", FILE) for act in (sent_flipped, sent_cut, sent_reset)],
    "the response for a file is lost": [Fault(act, "PUT", FILE) for act in (answer_lost, answer_replaced)],
    "the manifest is refused": [Fault(act, "PUT", MANIFEST) for act in (SLOW_DOWN, INTERNAL)],
    "the manifest is damaged": [Fault(act, "PUT", MANIFEST) for act in (sent_flipped, sent_cut, sent_reset)],
    "the response for the manifest is lost": [Fault(act, "PUT", MANIFEST) for act in (answer_lost, answer_replaced)],
    "the response for the manifest is always lost": [Fault(answer_lost, "PUT", MANIFEST, times=ATTEMPTS)],
    "the alias is refused": [Fault(act, "PUT", ALIAS) for act in (SLOW_DOWN, INTERNAL)],
    "the alias is damaged": [Fault(act, "PUT", ALIAS) for act in (sent_flipped, sent_cut, sent_reset)],
    "the response for the alias is lost": [Fault(act, "PUT", ALIAS) for act in (answer_lost, answer_replaced)],
    "the response for the alias is always lost": [Fault(answer_lost, "PUT", ALIAS, times=ATTEMPTS)],
    "everything is slow": [Fault(delayed(0.05), method, "", times=3) for method in ("PUT", "HEAD", "GET")],
    "an upload in parts is begun": [Fault(act, "POST", FILE, "uploads") for act in (SLOW_DOWN, answer_lost, got_cut)],
    "a part is refused": [Fault(act, "PUT", FILE, "partNumber") for act in (SLOW_DOWN, INTERNAL)],
    "a part is damaged": [Fault(act, "PUT", FILE, "partNumber") for act in (sent_cut, sent_reset)],
    "the response for a part is lost": [
        Fault(act, "PUT", FILE, "partNumber") for act in (answer_lost, answer_replaced)
    ],
    "parts are not put together": [
        Fault(act, "POST", FILE, "uploadId") for act in (INTERNAL, refused(200, "InternalError"), sent_cut)
    ],
    "parts are put together and the response is lost": [Fault(answer_lost, "POST", FILE, "uploadId")],
    "parts are put together and denied": [Fault(answer_replaced, "POST", FILE, "uploadId")],
}


@pytest.mark.parametrize("faults", TRANSIENT.values(), ids=TRANSIENT)
def test_transient_faults_are_retried(line: Line, release: Path, tmp_path: Path, faults: list[Fault]) -> None:
    in_parts = any(fault.query for fault in faults)
    first = publish_and_change(line.direct, release, more=SMALL_PART if in_parts else 0)
    line.gate.faults.extend(faults := [dataclasses.replace(fault) for fault in faults])
    with watched(line):
        assert attempt(line, release) is None
    assert [fault.hits for fault in faults] == [fault.times for fault in faults]
    line.gate.faults.clear()
    assert_the_next_try_finishes(line.through, release, first, tmp_path / "target")


LASTING: dict[str, tuple[Fault, type[SpinneretError]]] = {
    "a file: 503 SlowDown": (Fault(SLOW_DOWN, "PUT", FILE), UnavailableError),
    "a file: 403": (Fault(DENIED, "PUT", FILE), InputError),
    "a file: one flipped bit": (Fault(sent_flipped, "PUT", FILE), UnavailableError),
    "a file: cut off": (Fault(sent_cut, "PUT", FILE), UnavailableError),
    "a file: the response is lost": (Fault(answer_lost, "PUT", FILE), UnavailableError),
    "a file: 403 when asked for": (Fault(DENIED, "HEAD", FILE), InputError),
    "a part: 500": (Fault(INTERNAL, "PUT", FILE, "partNumber"), UnavailableError),
    "a part: one flipped bit": (Fault(sent_flipped, "PUT", FILE, "partNumber"), UnavailableError),
    "a part: 403": (Fault(DENIED, "PUT", FILE, "partNumber"), InputError),
    "parts put together: 500": (Fault(INTERNAL, "POST", FILE, "uploadId"), UnavailableError),
    "parts put together: one flipped bit": (Fault(sent_flipped, "POST", FILE, "uploadId"), SpinneretError),
    "the manifest: 500": (Fault(INTERNAL, "PUT", MANIFEST), UnavailableError),
    "the manifest: 403": (Fault(DENIED, "PUT", MANIFEST), InputError),
    "the manifest: read back cut off": (Fault(got_cut, "GET", MANIFEST), UnavailableError),
    "the manifest: read back as another": (Fault(got_flipped, "GET", MANIFEST), UnavailableError),
    "the alias: 403": (Fault(DENIED, "PUT", ALIAS), InputError),
    "the alias: cut off": (Fault(sent_cut, "PUT", ALIAS), UnavailableError),
    "the alias: read reset": (Fault(got_reset, "GET", ALIAS), UnavailableError),
}


@pytest.mark.slow
@pytest.mark.parametrize(("fault", "wanted"), LASTING.values(), ids=LASTING)
def test_a_lasting_fault_is_one_sentence_and_the_next_publication_succeeds(
    line: Line, release: Path, tmp_path: Path, fault: Fault, wanted: type[SpinneretError]
) -> None:
    first = publish_and_change(line.direct, release, more=SMALL_PART if fault.query else 0)
    line.gate.faults.append(fault := fault.lasting())
    with watched(line):
        error = attempt(line, release)
    assert isinstance(error, wanted)
    assert "changed while" not in str(error), "the file did not change"
    assert fault.hits
    assert version_that_is_whole(line.direct) == first
    line.gate.faults.clear()
    assert_the_next_try_finishes(line.through, release, first, tmp_path / "target")


def test_a_part_with_a_flipped_bit_is_never_accepted(line: Line, release: Path, tmp_path: Path) -> None:
    first = publish_and_change(line.direct, release, more=SMALL_PART)
    line.gate.faults.append(fault := Fault(sent_flipped, "PUT", FILE, "partNumber"))
    with watched(line):
        error = attempt(line, release)
    assert error is None or isinstance(error, UnavailableError), "rclone gives up the whole upload"
    assert fault.hits == 1
    assert_the_next_try_finishes(line.through, release, first, tmp_path / "target")
