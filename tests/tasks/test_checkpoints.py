import contextlib
import fcntl
import json
import os
import resource
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import pytest

from tasks.checkpoints import Checkpoints
from tasks.errors import InputError, UnavailableError
from tasks.folders import MANIFEST, list_files, make_place
from tasks.settings import settings
from tasks.storage.embedded_server import Endpoint, embedded_store
from tasks.storage.manifest import MIN_PART
from tasks.storage.mirror import Mirror
from tests.storage.test_mirror import Gate, gate_before

from .test_folders import altered, extra, first_line, longer, manifest_cut_off, missing, names, no_manifest, start

KEY = "c0ffee" * 10

SAVE = """
import sys, time
from pathlib import Path
from tasks.checkpoints import Checkpoints

def fill(folder):
    (folder / "a.txt").write_text("half")
    print("ready", flush=True)
    time.sleep(60)

Checkpoints(sys.argv[1], limit=2).save(2, fill)
"""
HOLD = """
import sys, time
from tasks.checkpoints import Checkpoints

with Checkpoints(sys.argv[1], limit=2).exclusive():
    print("ready", flush=True)
    time.sleep(60)
"""
TRAIN = """
import sys, time
from tasks.checkpoints import Checkpoints
from tasks.storage.mirror import Mirror

def fill(folder):
    (folder / "big").write_bytes(bytes(int(sys.argv[3])))
    return {}

with Checkpoints(sys.argv[1], limit=2, mirror=Mirror(sys.argv[2], sys.argv[1])) as checkpoints:
    checkpoints.save(1, fill)
    print("ready", flush=True)
    time.sleep(60)
"""


def fill(folder: Path) -> dict[str, Any]:
    (folder / "below").mkdir()
    (folder / "a.txt").write_text("alpha")
    (folder / "below" / "b.bin").write_bytes(bytes(range(9)))
    return {"loss": 1.5, "best": None}


def never(folder: Path) -> dict[str, Any]:
    raise AssertionError(f"{folder} was filled")


def saved(*steps: int, limit: int = 9, mirror: Mirror | None = None) -> Checkpoints:
    checkpoints = Checkpoints(KEY, limit=limit, mirror=mirror)
    for step in steps:
        checkpoints.save(step, fill)
    checkpoints.close()
    return checkpoints


def steps(checkpoints: Checkpoints) -> list[int]:
    """The steps on the disk, and nothing else is there."""
    return [int(name.removeprefix("step-")) for name in names(checkpoints.folder)]


def step_of(checkpoints: Checkpoints) -> int | None:
    found = checkpoints.newest()
    return None if found is None else found.step


def test_what_was_saved_last_is_found_with_its_facts_and_files() -> None:
    checkpoints = Checkpoints(KEY, limit=9)
    assert checkpoints.newest() is None
    for step in (9, 120, 1000):
        checkpoints.save(step, fill)
    found = Checkpoints(KEY, limit=9).newest()
    assert found is not None
    assert found.step == 1000
    assert found.folder == settings().data / "checkpoints" / KEY / "step-0000001000"
    assert found.facts == {"loss": 1.5, "best": None}
    assert list(list_files(found.folder)) == ["a.txt", "below/b.bin"]


def test_a_step_of_more_digits_than_the_name_has_room_for_is_still_the_newest() -> None:
    assert step_of(saved(9_999_999_999, 10_000_000_000)) == 10_000_000_000


def facts_of_another_kind(folder: Path) -> None:
    manifest = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps({**manifest, "facts": [1]}))


def a_file_in_its_place(folder: Path) -> None:
    folder.rename(folder.with_name("moved"))
    folder.write_text("in the way")
    subprocess.run(["rm", "-r", folder.with_name("moved")], check=True)


@pytest.mark.parametrize(
    "damage",
    [altered, missing, extra, longer, manifest_cut_off, no_manifest, facts_of_another_kind, a_file_in_its_place],
)
def test_a_damaged_checkpoint_is_removed_and_the_one_before_it_is_found(damage: Callable[[Path], None]) -> None:
    checkpoints = saved(1, 2, 3)
    for step in (2, 3):
        damage(checkpoints.folder / f"step-000000000{step}")
    assert step_of(checkpoints) == 1
    assert steps(checkpoints) == [1]
    checkpoints.save(3, fill)
    assert step_of(checkpoints) == 3


def test_after_kill_9_in_the_middle_of_a_save_the_previous_one_is_the_newest() -> None:
    checkpoints = saved(1)
    process = start(SAVE, KEY)
    assert first_line(process) == "ready"
    assert len(names(checkpoints.folder)) == 2
    assert step_of(checkpoints) == 1
    assert len(names(checkpoints.folder)) == 2  # it is being filled: not a leftover
    process.kill()
    process.communicate()
    assert step_of(checkpoints) == 1
    assert steps(checkpoints) == [1]


def test_everything_is_on_the_disk_before_the_rename_and_the_rename_before_anything_is_removed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    happened: list[str] = []
    checkpoints = saved(1, limit=1)

    def fsync(descriptor: int) -> None:
        happened.append(Path(f"/proc/self/fd/{descriptor}").readlink().name.partition("-")[0])

    really = Path.rename

    def rename(old: Path, new: Path) -> Path:
        happened.append(f"rename {old.name[:15]}")
        return really(old, new)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "rename", rename)
    checkpoints.save(2, fill)
    assert sorted(happened[:5]) == ["a.txt", "b.bin", "below", "manifest.json", "step"]
    assert happened[5:] == ["rename step-0000000002", KEY, "checkpoints", "rename step-0000000001"]


def test_the_newest_few_and_those_to_keep_stay_and_none_goes_before_the_new_one_is_there() -> None:
    checkpoints = saved(1, 2, 3)

    def look(folder: Path) -> dict[str, Any]:
        assert {"step-0000000001", "step-0000000002", "step-0000000003"} < set(names(folder.parent))
        return fill(folder)

    checkpoints = Checkpoints(KEY, limit=2)
    checkpoints.save(4, look, keep={1, 77})
    assert steps(checkpoints) == [1, 3, 4]
    checkpoints.save(5, fill)
    assert steps(checkpoints) == [4, 5]


def test_one_without_a_manifest_does_not_take_the_place_of_a_whole_one() -> None:
    checkpoints = saved(1, 2, 3)
    no_manifest(checkpoints.folder / "step-0000000003")
    Checkpoints(KEY, limit=2).save(4, fill)
    assert steps(checkpoints) == [2, 4]


def test_a_save_that_fails_removes_nothing() -> None:
    checkpoints = saved(1, limit=1)
    with pytest.raises(AssertionError):
        checkpoints.save(2, never)
    assert steps(checkpoints) == [1]


def test_a_full_disk_is_one_sentence_and_the_previous_one_stays() -> None:
    checkpoints = saved(1, limit=1)
    with no_file_larger_than(5), pytest.raises(InputError, match=r"^The disk is full: .*step-0000000002"):
        checkpoints.save(2, fill)
    assert steps(checkpoints) == [1]
    assert step_of(checkpoints) == 1


def test_a_whole_step_is_not_written_again_and_a_damaged_one_is() -> None:
    checkpoints = saved(1)
    checkpoints.save(1, never)
    altered(checkpoints.folder / "step-0000000001")
    checkpoints.save(1, fill)
    assert step_of(checkpoints) == 1


def test_another_training_is_another_place() -> None:
    saved(1)
    other = Checkpoints("d00d" * 16, limit=1)
    assert other.newest() is None
    other.clear()
    assert step_of(saved()) == 1


# Two runs at once


def test_a_second_run_waits_until_the_first_ends_and_says_so_once() -> None:
    told, first, second = list[str](), Checkpoints(KEY, limit=1), threading.Event()

    def run() -> None:
        with Checkpoints(KEY, limit=1, tell=told.append).exclusive():
            second.set()

    with first.exclusive():
        thread = threading.Thread(target=run)
        thread.start()
        assert not second.wait(0.7)
        assert len(told) == 1
        assert told[0].startswith(f"checkpoints: the training {KEY[:12]} is already run by process {os.getpid()} on ")
    assert second.wait(5)
    thread.join()
    assert names(settings().data / "checkpoints") == []


def test_a_second_run_that_will_not_wait_is_told_what_to_do() -> None:
    with (
        Checkpoints(KEY, limit=1).exclusive(),
        pytest.raises(UnavailableError, match=r"already run by process \d+ on .* let that run end, or stop it"),
        Checkpoints(KEY, limit=1, tell=list[str]().append).exclusive(limit_s=0),
    ):
        pass


def test_a_run_that_was_killed_holds_nothing() -> None:
    process = start(HOLD, KEY)
    assert first_line(process) == "ready"
    with pytest.raises(UnavailableError), Checkpoints(KEY, limit=1).exclusive(limit_s=0):
        pass
    process.kill()
    process.communicate()
    with Checkpoints(KEY, limit=1).exclusive(limit_s=0):
        pass


def test_a_worker_that_was_forked_meanwhile_does_not_hold_it() -> None:
    with Checkpoints(KEY, limit=1).exclusive():
        saved(1)
        child = os.fork()
        if child == 0:
            time.sleep(30)
            os._exit(0)
    try:
        with Checkpoints(KEY, limit=1).exclusive(limit_s=0):
            pass
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_only_one_holds_it_however_often_the_folder_is_removed() -> None:
    inside, most = [0], [0]
    lock = threading.Lock()

    def run() -> None:
        for _ in range(40):
            checkpoints = Checkpoints(KEY, limit=1, tell=list[str]().append)
            with checkpoints.exclusive():
                with lock:
                    inside[0] += 1
                    most[0] = max(most[0], inside[0])
                checkpoints.clear()
                with lock:
                    inside[0] -= 1

    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(run) for _ in range(4)]:
            done.result()
    assert most == [1]
    assert names(settings().data / "checkpoints") == []


def test_a_lock_that_was_removed_while_it_was_being_taken_is_not_held(monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoints, really, removed = Checkpoints(KEY, limit=1), fcntl.flock, list[int]()

    def flock(descriptor: int, operation: int) -> None:
        if not removed:  # by a run that ends just now
            (checkpoints.folder / ".lock").unlink()
            removed.append(descriptor)
        really(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", flock)
    with (
        checkpoints.exclusive(),
        pytest.raises(UnavailableError),
        Checkpoints(KEY, limit=1).exclusive(limit_s=0),
    ):
        pass
    assert removed


def test_a_place_that_another_run_makes_and_removes_meanwhile_can_be_made(tmp_path: Path) -> None:
    place, ended = tmp_path / "checkpoints" / KEY, threading.Event()

    def make_and_remove() -> None:
        while not ended.is_set():
            with contextlib.suppress(OSError):
                place.mkdir()
            with contextlib.suppress(OSError):
                place.rmdir()

    place.parent.mkdir()
    with ThreadPoolExecutor(1) as pool:
        pool.submit(make_and_remove)
        try:
            for _ in range(3000):
                make_place(place)
        finally:
            ended.set()


def test_clear_leaves_nothing() -> None:
    checkpoints = saved(1, 2)
    (checkpoints.folder / "step-0000000003.partial-1").mkdir()
    checkpoints.clear()
    assert names(settings().data / "checkpoints") == []
    with checkpoints.exclusive():
        checkpoints.save(1, fill)
        checkpoints.clear()
        assert checkpoints.newest() is None
    assert names(settings().data / "checkpoints") == []


def test_clear_leaves_what_another_run_holds() -> None:
    checkpoints = saved(1)
    with Checkpoints(KEY, limit=1).exclusive():
        checkpoints.clear()
        assert step_of(checkpoints) == 1
    checkpoints.clear()
    assert checkpoints.newest() is None


# The mirror


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


def test_another_machine_goes_on_from_the_copy(mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = saved(1, 2, mirror=mirror).newest()
    on_another_machine(tmp_path, monkeypatch)
    there = Checkpoints(KEY, limit=1, mirror=mirror).newest()
    assert here is not None
    assert there is not None
    assert there.folder == tmp_path / "elsewhere" / "checkpoints" / KEY / "step-0000000002"
    assert (there.step, there.facts) == (2, here.facts)
    assert list_files(there.folder) == list_files(here.folder)


def test_the_later_of_here_and_there_is_taken(mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved(5, mirror=mirror)
    on_another_machine(tmp_path, monkeypatch)
    checkpoints = saved(4)
    assert step_of(Checkpoints(KEY, limit=1, mirror=mirror)) == 5
    checkpoints.save(6, fill)
    assert step_of(Checkpoints(KEY, limit=1, mirror=mirror)) == 6


def test_the_same_step_is_fetched_where_it_is_damaged_here(mirror: Mirror) -> None:
    checkpoints = saved(1, mirror=mirror)
    altered(checkpoints.folder / "step-0000000001")
    assert step_of(Checkpoints(KEY, limit=1, mirror=mirror)) == 1


def test_the_best_one_is_copied_too_and_found_on_another_machine(
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


def test_a_damaged_copy_is_told_of_and_an_older_one_is_taken(
    mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved(1, 2, mirror=mirror)
    saved(3, 4, mirror=mirror)
    copies = tmp_path / "store" / "releases" / "checkpoints" / KEY
    (copies / "step-0000000004" / "a.txt").write_text("alphA")
    on_another_machine(tmp_path, monkeypatch)
    told: list[str] = []
    checkpoints = Checkpoints(KEY, limit=1, mirror=mirror, tell=told.append)
    found = checkpoints.newest()
    assert found is not None
    assert found.step in {2, 3}  # the first of each pair may have been passed over
    assert steps(checkpoints) == [found.step]
    assert len(told) == 1
    assert told[0].startswith("checkpoints: step 4 cannot be fetched, so an older one is used (step 4 in ")


def test_a_disk_too_full_to_fetch_is_one_sentence(
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


def test_a_store_that_cannot_be_asked_leaves_what_is_here(tmp_path: Path) -> None:
    saved(1)
    told: list[str] = []
    (tmp_path / "file").write_text("in the way")
    assert step_of(Checkpoints(KEY, limit=1, mirror=Mirror(str(tmp_path / "file"), KEY), tell=told.append)) == 1
    assert len(told) == 1
    assert "cannot be asked, so those on this machine are used (the destination" in told[0]


def test_a_store_that_is_down_ends_nothing_and_the_next_checkpoint_catches_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    checkpoints = Checkpoints(KEY, limit=2, mirror=REMOTE, tell=told.append)
    with embedded_store(tmp_path / "served") as endpoint:
        to(endpoint.url, endpoint, monkeypatch)
    checkpoints.save(1, fill)
    wait_until(lambda: told)
    assert told[0].startswith("checkpoints: step 1 is on this machine but was not copied to s3://releases/team/")
    assert "does not answer" in told[0]
    with embedded_store(tmp_path / "served") as endpoint:
        to(endpoint.url, endpoint, monkeypatch)
        checkpoints.save(2, fill, keep={1})
        checkpoints.close()
        assert REMOTE.steps() == [2, 1]
    assert len(told) == 1
    assert step_of(checkpoints) == 2


def test_a_slow_store_holds_nothing_up_and_gets_the_newest_next(gate: Gate) -> None:
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


def test_the_end_waits_for_the_last_copy_for_a_while_only(gate: Gate) -> None:
    _, go = held_puts(gate)
    told: list[str] = []
    checkpoints = Checkpoints(KEY, limit=1, mirror=REMOTE, tell=told.append)
    checkpoints.save(1, fill)
    threading.Timer(1, go.set).start()
    began = time.monotonic()
    checkpoints.close(limit_s=0.3)
    assert 0.3 <= time.monotonic() - began < 5
    assert told == [f"checkpoints: the last one was not copied to {REMOTE} within 0.3 s"]
    assert REMOTE.steps() == []


def test_after_ctrl_c_nobody_waits_for_the_copy(gate: Gate) -> None:
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


def test_clear_removes_here_and_there(mirror: Mirror, tmp_path: Path) -> None:
    checkpoints = saved(1, 2, mirror=mirror)
    assert mirror.steps()
    checkpoints.clear()
    assert checkpoints.newest() is None
    assert mirror.steps() == []
    assert list((tmp_path / "store" / "releases").rglob("*.txt")) == []
    assert names(settings().data / "checkpoints") == []


def test_clear_with_a_store_that_fails_is_told_and_removes_what_is_here(tmp_path: Path) -> None:
    told: list[str] = []
    saved(1)
    (tmp_path / "file").write_text("in the way")
    Checkpoints(KEY, limit=1, mirror=Mirror(str(tmp_path / "file"), KEY), tell=told.append).clear()
    assert names(settings().data / "checkpoints") == []
    assert len(told) == 1
    assert "is not needed any more but could not be deleted" in told[0]


def test_what_is_told_is_printed_also_by_the_print_of_a_prefect_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    run: ContextVar[str] = ContextVar("run", default="none")
    run.set("this one")
    monkeypatch.setattr("builtins.print", lambda line: told.append(f"{run.get()}: {line}"))
    (tmp_path / "file").write_text("in the way")
    with Checkpoints(KEY, limit=1, mirror=Mirror(str(tmp_path / "file"), KEY)) as checkpoints:
        checkpoints.newest()
        checkpoints.save(1, fill)
    assert [line.partition(" is ")[0] for line in told[1:]] == ["this one: checkpoints: step 1"]
    assert told[0].startswith("this one: checkpoints: ")


def wait_until(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@contextlib.contextmanager
def no_file_larger_than(size: int) -> Iterator[None]:
    """The kernel refuses to let any file of this process grow beyond `size` bytes (errno EFBIG)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
