import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tasks.guarded_process import GuardedChild
from tests.factories.waiting import is_running, wait_until

SLEEPER = ["/bin/sh", "-c", "echo $$; exec sleep 600"]
PARENT = """
import os, sys, time
from pathlib import Path
from tasks.guarded_process import GuardedChild
child = GuardedChild.start(["/bin/sh", "-c", "echo $$; exec sleep 600"], dict(os.environ), Path(sys.argv[1]))
if sys.argv[2] == "fork" and os.fork() == 0:
    time.sleep(5)
    os._exit(0)
print("ready", flush=True)
if sys.argv[2] != "return":
    for _ in range(600):  # a signal just before one long sleep would not end it
        time.sleep(0.1)
"""


def first_pid(log: Path) -> int:
    assert wait_until(lambda: log.exists() and log.read_text().endswith("\n"))
    return int(log.read_text().split()[0])


def start(command: list[str], log: Path) -> GuardedChild:
    return GuardedChild.start(command, dict(os.environ), log)


def test_close_ends_the_command_and_its_supervisor(tmp_path: Path) -> None:
    child = start(SLEEPER, tmp_path / "log")
    pid = first_pid(tmp_path / "log")
    assert is_running(pid)
    assert child.poll() is None
    child.close()
    child.close()
    assert not is_running(pid)
    assert not is_running(child.pid)
    assert child.poll() == 128 + signal.SIGTERM


def test_close_ends_child_processes_of_the_command_too(tmp_path: Path) -> None:
    child = start(["/bin/sh", "-c", "sleep 600 & echo $!; wait"], tmp_path / "log")
    grandchild = first_pid(tmp_path / "log")
    child.close()
    assert wait_until(lambda: not is_running(grandchild))


def test_a_command_that_ignores_sigterm_is_killed_after_the_grace_period(tmp_path: Path) -> None:
    child = start(["/bin/sh", "-c", "trap '' TERM; echo $$; while :; do sleep 0.1; done"], tmp_path / "log")
    pid = first_pid(tmp_path / "log")
    before = time.monotonic()
    child.close()
    assert 4.5 < time.monotonic() - before < 9
    assert not is_running(pid)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_the_command_ends_when_its_parent_is_ended_by_a_signal(tmp_path: Path, number: signal.Signals) -> None:
    log = tmp_path / "log"
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, log, "wait"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert parent.stdout is not None
    assert parent.stdout.readline() == b"ready\n"
    pid = first_pid(log)
    assert is_running(pid)
    parent.send_signal(number)
    parent.communicate()
    assert wait_until(lambda: not is_running(pid), 3)


def test_the_command_ends_when_its_parent_just_returns(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", PARENT, tmp_path / "log", "return"], check=True, capture_output=True)
    log = tmp_path / "log"
    assert not log.read_text() or not is_running(first_pid(log))


def test_a_forked_worker_of_a_killed_parent_does_not_keep_the_command_alive(tmp_path: Path) -> None:
    log = tmp_path / "log"
    parent = subprocess.Popen([sys.executable, "-c", PARENT, log, "fork"], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    assert parent.stdout.readline() == b"ready\n"
    pid = first_pid(log)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    assert wait_until(lambda: not is_running(pid), 3)


def test_the_command_outlives_the_thread_that_started_it(tmp_path: Path) -> None:
    children: list[GuardedChild] = []
    thread = threading.Thread(target=lambda: children.append(start(SLEEPER, tmp_path / "log")))
    thread.start()
    thread.join()
    pid = first_pid(tmp_path / "log")
    time.sleep(0.3)
    assert is_running(pid)
    children[0].close()
    assert not is_running(pid)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a death signal")
def test_the_command_ends_when_its_supervisor_is_killed(tmp_path: Path) -> None:
    child = start(SLEEPER, tmp_path / "log")
    pid = first_pid(tmp_path / "log")
    os.kill(child.pid, signal.SIGKILL)
    assert wait_until(lambda: not is_running(pid), 3)
    child.close()


def test_ctrl_c_in_our_terminal_does_not_reach_the_command(tmp_path: Path) -> None:
    child = start(SLEEPER, tmp_path / "log")
    pid = first_pid(tmp_path / "log")
    assert os.getsid(pid) == child.pid != os.getsid(0)
    child.close()


def test_poll_returns_the_exit_status_of_the_command(tmp_path: Path) -> None:
    child = start(["/bin/sh", "-c", "exit 3"], tmp_path / "log")
    assert wait_until(lambda: child.poll() is not None)
    assert child.poll() == 3


def test_a_command_that_does_not_exist_is_named_in_the_log(tmp_path: Path) -> None:
    child = start(["/no/such/program"], tmp_path / "log")
    assert wait_until(lambda: child.poll() is not None)
    assert child.poll() == 127
    assert "cannot start /no/such/program" in (tmp_path / "log").read_text()
