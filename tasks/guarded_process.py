"""Starts a child process that cannot outlive this one, however this one ends: exit, Ctrl-C, SIGTERM or kill -9.

The command runs under a small supervisor (this file, run as a script), which holds the read end of a pipe whose write
end only this process holds. When this process dies or closes the pipe, the supervisor reads end of file, ends the
command's process group (SIGTERM, a grace period, SIGKILL) and exits. This works from any thread and on macOS; a death
signal set in the child would fire when the thread that started it ends. Both run in their own session, so Ctrl-C in the
terminal reaches neither. POSIX only.

On Linux the kernel also ends the command if the supervisor itself is killed; on macOS the command keeps running then.
"""

import atexit
import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import IO

GRACE_S = 5.0
"""Default for the seconds that a command may take to end after SIGTERM."""
_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_PR_SET_PDEATHSIG = 1


class GuardedChild:
    """A command that runs until `close`, or until this process ends in any way."""

    def __init__(self, process: subprocess.Popen[bytes], lifeline: int, grace_s: float) -> None:
        self._process = process
        self._grace_s = grace_s
        self._lifeline: int | None = lifeline
        self._owner = os.getpid()
        atexit.register(self.close)
        _close_lifeline_in_forks(self)

    @classmethod
    def start(
        cls,
        command: Sequence[str],
        env: dict[str, str],
        log_path: Path | None,
        *,
        keep_open: Sequence[int] = (),
        grace_s: float = GRACE_S,
    ) -> "GuardedChild":
        """Start `command`, absolute path first, with exactly `env`; its output is appended to `log_path`, or discarded.

        Returns at once: a command that cannot start shows in `poll` and in the log. The file descriptors in `keep_open`
        stay open in the supervisor until the command has ended (for a lock that must be held as long).
        """
        read_end, lifeline = os.pipe()
        supervisor = [sys.executable, "-I", "-S", str(Path(__file__).resolve()), str(read_end), str(grace_s), *command]
        try:
            with _open_log(log_path) as log:
                process = subprocess.Popen(
                    supervisor,
                    env=env,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    pass_fds=(read_end, *keep_open),
                    start_new_session=True,
                )
        except BaseException:
            os.close(lifeline)
            raise
        finally:
            os.close(read_end)
        return cls(process, lifeline, grace_s)

    @property
    def pid(self) -> int:
        """Process id of the supervisor, which is also the session id of the command."""
        return self._process.pid

    def poll(self) -> int | None:
        """None while the command runs, then its exit status (128 + n after signal n, 127 if it cannot start)."""
        return self._process.poll()

    def close(self) -> None:
        """End the command and wait for it: SIGTERM, after `grace_s` SIGKILL. May be called again."""
        if os.getpid() != self._owner:
            return
        self._close_lifeline()
        try:
            self._process.wait(self._grace_s + 5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        atexit.unregister(self.close)

    def _close_lifeline(self) -> None:
        lifeline, self._lifeline = self._lifeline, None
        if lifeline is not None:
            os.close(lifeline)


def _close_lifeline_in_forks(child: GuardedChild) -> None:
    """Close the pipe in forked processes: one that held it would keep the command alive after this process."""
    reference = weakref.ref(child)

    def close_lifeline() -> None:
        if (child := reference()) is not None:
            child._close_lifeline()

    os.register_at_fork(after_in_child=close_lifeline)


def _open_log(log_path: Path | None) -> contextlib.AbstractContextManager[IO[bytes]]:
    return Path(os.devnull).open("wb") if log_path is None else log_path.open("ab")


# Below is the supervisor, run as a script by `start`: standard library only.


def _supervise(read_end: int, grace_s: float, command: Sequence[str]) -> int:
    """Run `command` until it ends, the pipe closes or a stop signal comes; return its exit status."""
    wake, waker = os.pipe()
    os.set_blocking(waker, False)
    signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
    for number in (*_STOP_SIGNALS, signal.SIGCHLD):
        signal.signal(number, lambda *_: None)
    try:
        child = subprocess.Popen(command, process_group=0, preexec_fn=_die_with_parent)  # noqa: PLW1509 one thread
    except OSError as error:
        print(f"cannot start {command[0]}: {error}", file=sys.stderr)
        return 127
    _wait_for_end(child, read_end, wake)
    _end_group(child, grace_s)
    status = child.wait()
    return 128 - status if status < 0 else status


def _wait_for_end(child: subprocess.Popen[bytes], read_end: int, wake: int) -> None:
    while child.poll() is None:
        ready, _, _ = select.select([read_end, wake], [], [])
        if read_end in ready:
            return
        if not set(os.read(wake, 512)).isdisjoint(_STOP_SIGNALS):
            return


def _end_group(child: subprocess.Popen[bytes], grace_s: float) -> None:
    """SIGTERM, a grace period, then SIGKILL for the rest of the command's process group."""
    with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS: EPERM for a group of zombies
        os.killpg(child.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(grace_s)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)


def _die_with_parent() -> None:
    """On Linux, SIGKILL the command when the supervisor ends; reliable since the supervisor has one thread."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(_supervise(int(sys.argv[1]), float(sys.argv[2]), sys.argv[3:]))
