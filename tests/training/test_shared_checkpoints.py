"""Checkpoints in an object store: another machine resumes from them, and no store ends a training."""

import signal
import threading
import time
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import pytest

from tasks.errors import InputError
from tasks.settings import settings
from tasks.stage.folders import list_files
from tasks.storage.embedded_server import Endpoint, embedded_store
from tasks.storage.manifest import MIN_PART
from tasks.storage.mirror import Mirror
from tasks.training.checkpoints import Checkpoints
from tests.factories.checkpoints import KEY, fill, saved, step_of, steps
from tests.factories.folders import altered, names, start
from tests.factories.waiting import no_file_larger_than, wait_until
from tests.storage.gate import Gate, gate_before

TRAIN = """
import sys, time
from tasks.training.checkpoints import Checkpoints
from tasks.storage.mirror import Mirror

def fill(folder):
    (folder / "big").write_bytes(bytes(int(sys.argv[3])))
    return {}

with Checkpoints(sys.argv[1], limit=2, mirror=Mirror(sys.argv[2], sys.argv[1])) as checkpoints:
    checkpoints.save(1, fill)
    print("ready", flush=True)
    for _ in range(600):  # a signal just before one long sleep would not end it
        time.sleep(0.1)
"""


@pytest.fixture
def mirror(tmp_path: Path) -> Mirror:
    """In a folder, as by default: a server runs over it during each call."""
    return Mirror(str(tmp_path / "store"), KEY)


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Endpoint]:
    with embedded_store(tmp_path / "served") as endpoint:
        to(endpoint.url, endpoint, monkeypatch)
        yield endpoint


@pytest.fixture
def gate(served: Endpoint, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    with gate_before(served.url) as gate:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", gate.url)
        yield gate


REMOTE = Mirror("s3://releases/team", KEY)


def to(url: str, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", endpoint.access_key_id)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", endpoint.secret_access_key)


def on_another_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPINNERET_DATA", str(tmp_path / "elsewhere"))
    settings.cache_clear()


def held_puts(gate: Gate) -> tuple[threading.Event, threading.Event]:
    """Hold every PUT until the second event is set; the first is set when one came."""
    came, go = threading.Event(), threading.Event()

    def check(method: str, path: str) -> bool:
        if method == "PUT":
            came.set()
            go.wait(30)
        return True

    gate.check = check
    return came, go


def test_another_machine_resumes_from_the_copy(mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = saved(1, 2, mirror=mirror).newest()
    on_another_machine(tmp_path, monkeypatch)
    there = Checkpoints(KEY, limit=1, mirror=mirror).newest()
    assert here is not None
    assert there is not None
    assert there.folder == tmp_path / "elsewhere" / "checkpoints" / KEY / "step-0000000002"
    assert (there.step, there.facts) == (2, here.facts)
    assert list_files(there.folder) == list_files(here.folder)


@pytest.mark.slow
def test_the_later_of_local_and_mirrored_checkpoints_is_used(
    mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved(5, mirror=mirror)
    on_another_machine(tmp_path, monkeypatch)
    checkpoints = saved(4)
    assert step_of(Checkpoints(KEY, limit=1, mirror=mirror)) == 5
    checkpoints.save(6, fill)
    assert step_of(Checkpoints(KEY, limit=1, mirror=mirror)) == 6


def test_a_damaged_local_checkpoint_is_fetched_again(mirror: Mirror) -> None:
    checkpoints = saved(1, mirror=mirror)
    altered(checkpoints.folder / "step-0000000001")
    assert step_of(Checkpoints(KEY, limit=1, mirror=mirror)) == 1


@pytest.mark.slow
def test_the_best_checkpoint_is_copied_too_and_found_on_another_machine(
    mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Checkpoints(KEY, limit=1, mirror=mirror) as checkpoints:
        for step in (1, 2, 3):
            checkpoints.save(step, fill, keep={1})
    assert mirror.steps() == [3, 1]
    on_another_machine(tmp_path, monkeypatch)
    there = Checkpoints(KEY, limit=1, mirror=mirror)
    found = there.find(1)
    assert found is not None
    assert found.facts == {"loss": 1.5, "best": None}
    assert there.find(2) is None


@pytest.mark.slow
def test_a_damaged_copy_is_logged_and_an_older_one_is_used(
    mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved(1, 2, mirror=mirror)
    saved(3, 4, mirror=mirror)
    copies = tmp_path / "store" / "releases" / "checkpoints" / KEY
    (copies / "step-0000000004" / "a.txt").write_text("alphA")
    on_another_machine(tmp_path, monkeypatch)
    logged: list[str] = []
    checkpoints = Checkpoints(KEY, limit=1, mirror=mirror, log=logged.append)
    found = checkpoints.newest()
    assert found is not None
    assert found.step in {2, 3}  # the first of each pair may not have been copied
    assert steps(checkpoints) == [found.step]
    assert len(logged) == 1
    assert logged[0].startswith("checkpoints: step 4 cannot be fetched, so an older one is used (step 4 in ")


def test_a_disk_too_full_to_fetch_is_an_input_error(
    mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def large(folder: Path) -> dict[str, Any]:
        (folder / "large").write_bytes(bytes(200_000))
        return {}

    with Checkpoints(KEY, limit=1, mirror=mirror) as checkpoints:
        checkpoints.save(1, large)
    on_another_machine(tmp_path, monkeypatch)
    there = Checkpoints(KEY, limit=1, mirror=mirror)
    with no_file_larger_than(100_000), pytest.raises(InputError, match=r"^The disk is full"):
        there.newest()
    assert steps(there) == []


def test_with_an_unavailable_store_the_local_checkpoints_are_used(tmp_path: Path) -> None:
    saved(1)
    logged: list[str] = []
    (tmp_path / "file").write_text("in the way")
    assert step_of(Checkpoints(KEY, limit=1, mirror=Mirror(str(tmp_path / "file"), KEY), log=logged.append)) == 1
    assert len(logged) == 1
    assert "cannot be read, so those on this machine are used (the destination" in logged[0]


@pytest.mark.slow
def test_an_unavailable_store_does_not_end_the_training_and_the_next_copy_catches_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    logged: list[str] = []
    checkpoints = Checkpoints(KEY, limit=2, mirror=REMOTE, log=logged.append)
    with embedded_store(tmp_path / "served") as endpoint:
        to(endpoint.url, endpoint, monkeypatch)
    checkpoints.save(1, fill)
    assert wait_until(lambda: logged, 30)
    assert logged[0].startswith("checkpoints: step 1 is on this machine but was not copied to s3://releases/team/")
    assert "does not answer" in logged[0]
    with embedded_store(tmp_path / "served") as endpoint:
        to(endpoint.url, endpoint, monkeypatch)
        checkpoints.save(2, fill, keep={1})
        checkpoints.close()
        assert REMOTE.steps() == [2, 1]
    assert len(logged) == 1
    assert step_of(checkpoints) == 2


def test_a_slow_store_delays_nothing_and_gets_the_newest_checkpoint_next(gate: Gate) -> None:
    came, go = held_puts(gate)
    checkpoints = Checkpoints(KEY, limit=1, mirror=REMOTE)
    checkpoints.save(1, fill)
    assert came.wait(10)
    began = time.monotonic()
    checkpoints.save(2, fill)
    checkpoints.save(3, fill)
    assert time.monotonic() - began < 2
    assert steps(checkpoints) == [1, 3]  # 1 is being copied
    go.set()
    checkpoints.close()
    assert REMOTE.steps() == [3]
    assert not [path for method, path in gate.requests if method == "PUT" and "step-0000000002" in path]
    checkpoints.save(4, fill)
    assert steps(checkpoints) == [4]


def test_close_waits_for_the_last_copy_for_a_limited_time(gate: Gate) -> None:
    _, go = held_puts(gate)
    logged: list[str] = []
    checkpoints = Checkpoints(KEY, limit=1, mirror=REMOTE, log=logged.append)
    checkpoints.save(1, fill)
    threading.Timer(1, go.set).start()
    began = time.monotonic()
    checkpoints.close(limit_s=0.3)
    assert 0.3 <= time.monotonic() - began < 5
    assert logged == [f"checkpoints: the last one was not copied to {REMOTE} within 0.3 s"]
    assert REMOTE.steps() == []


@pytest.mark.slow
def test_after_ctrl_c_the_copy_is_not_waited_for(gate: Gate) -> None:
    under_way = threading.Event()

    def a_slow_line(size: int) -> None:
        if size == 2**16:
            under_way.set()
            time.sleep(0.1)

    gate.slow = a_slow_line
    process = start(TRAIN, KEY, REMOTE.destination, 4 * MIN_PART - 1)
    assert under_way.wait(30)
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert time.monotonic() - began < 12  # all of it would take half a minute
    assert process.returncode != 0
    gate.slow = lambda size: None
    assert REMOTE.steps() == []


@pytest.mark.slow
def test_clear_removes_local_and_mirrored_checkpoints(mirror: Mirror, tmp_path: Path) -> None:
    checkpoints = saved(1, 2, mirror=mirror)
    assert mirror.steps()
    checkpoints.clear()
    assert checkpoints.newest() is None
    assert mirror.steps() == []
    assert list((tmp_path / "store" / "releases").rglob("*.txt")) == []
    assert names(settings().data / "checkpoints") == []


def test_clear_logs_a_failing_store_and_removes_the_local_checkpoints(tmp_path: Path) -> None:
    logged: list[str] = []
    saved(1)
    (tmp_path / "file").write_text("in the way")
    Checkpoints(KEY, limit=1, mirror=Mirror(str(tmp_path / "file"), KEY), log=logged.append).clear()
    assert names(settings().data / "checkpoints") == []
    assert len(logged) == 1
    assert "is not needed any more but could not be deleted" in logged[0]


def test_messages_are_printed_by_the_print_of_the_prefect_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    logged: list[str] = []
    run: ContextVar[str] = ContextVar("run", default="none")
    run.set("this one")
    monkeypatch.setattr("builtins.print", lambda line: logged.append(f"{run.get()}: {line}"))
    (tmp_path / "file").write_text("in the way")
    with Checkpoints(KEY, limit=1, mirror=Mirror(str(tmp_path / "file"), KEY)) as checkpoints:
        checkpoints.newest()
        checkpoints.save(1, fill)
    assert [line.partition(" is ")[0] for line in logged[1:]] == ["this one: checkpoints: step 1"]
    assert logged[0].startswith("this one: checkpoints: ")
