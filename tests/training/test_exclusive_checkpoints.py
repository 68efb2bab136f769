"""Two runs of the same training at the same time: one holds the lock, the other waits."""

import fcntl
import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tasks.errors import UnavailableError
from tasks.settings import settings
from tasks.training.checkpoints import Checkpoints
from tests.factories.checkpoints import KEY, saved
from tests.factories.folders import first_line, names, start

HOLD = """
import sys, time
from tasks.training.checkpoints import Checkpoints

with Checkpoints(sys.argv[1], limit=2).exclusive():
    print("ready", flush=True)
    time.sleep(60)
"""


def test_a_second_run_waits_until_the_first_ends_and_logs_that_once() -> None:
    logged, first, second = list[str](), Checkpoints(KEY, limit=1), threading.Event()

    def run() -> None:
        with Checkpoints(KEY, limit=1, log=logged.append).exclusive():
            second.set()

    with first.exclusive():
        thread = threading.Thread(target=run)
        thread.start()
        assert not second.wait(0.7)
        assert len(logged) == 1
        assert logged[0].startswith(f"checkpoints: the training {KEY[:12]} is already run by process {os.getpid()} on ")
    assert second.wait(5)
    thread.join()
    assert names(settings().data / "checkpoints") == []


def test_a_second_run_that_does_not_wait_gets_an_error_with_advice() -> None:
    with (
        Checkpoints(KEY, limit=1).exclusive(),
        pytest.raises(UnavailableError, match=r"already run by process \d+ on .* wait for that run, or stop it"),
        Checkpoints(KEY, limit=1, log=list[str]().append).exclusive(limit_s=0),
    ):
        pass


def test_a_killed_run_releases_the_lock() -> None:
    process = start(HOLD, KEY)
    assert first_line(process) == "ready"
    with pytest.raises(UnavailableError), Checkpoints(KEY, limit=1).exclusive(limit_s=0):
        pass
    process.kill()
    process.communicate()
    with Checkpoints(KEY, limit=1).exclusive(limit_s=0):
        pass


def test_a_forked_process_does_not_keep_the_lock() -> None:
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


def test_only_one_run_holds_the_lock_even_if_its_folder_is_removed_repeatedly() -> None:
    inside, most = [0], [0]
    lock = threading.Lock()

    def run() -> None:
        for _ in range(40):
            checkpoints = Checkpoints(KEY, limit=1, log=list[str]().append)
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


def test_a_lock_file_that_is_removed_during_locking_is_not_locked(monkeypatch: pytest.MonkeyPatch) -> None:
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
