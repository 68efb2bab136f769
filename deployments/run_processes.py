"""Run processes: which processes belong to a worker and to its runs, and how they are ended.

What comes in: the mark that a worker and all that it starts carry in their environment. It finds them whatever became
of their parents, which a kill -9 makes unknown. Only processes of the same user can be read, so no others are found.
"""

import os
import signal
import time
from collections.abc import Collection, Sequence

import psutil  # type: ignore[import-untyped]

MARK = "SPINNERET_WORKER"
RUN = "PREFECT__FLOW_RUN_ID"
"""Prefect gives it to each process of a run."""
_LOOK_S = 0.1


def marked(mark: str) -> dict[psutil.Process, str | None]:
    """Every process that carries `mark`, with the run that it belongs to; None for the worker itself."""
    found: dict[psutil.Process, str | None] = {}
    for process in psutil.process_iter():
        try:
            environment = process.environ()
        except (psutil.Error, OSError):  # another user's, or just ended
            continue
        if environment.get(MARK) == mark and process.pid != os.getpid():
            found[process] = environment.get(RUN)
    return found


def end_gently(processes: Collection[psutil.Process], grace_s: float) -> None:
    """SIGTERM for the first process of each run, and SIGKILL for all that is left of it after `grace_s` seconds."""
    send(_leaders(processes), signal.SIGTERM)
    deadline = time.monotonic() + grace_s
    while (left := [process for process in processes if lives(process)]) and time.monotonic() < deadline:
        time.sleep(_LOOK_S)
    send(left, signal.SIGKILL)


def send(processes: Sequence[psutil.Process], number: signal.Signals) -> None:
    """A signal for each of them that still runs."""
    for process in processes:
        try:
            process.send_signal(number)
        except psutil.Error:
            continue  # it ended just now


def _leaders(processes: Collection[psutil.Process]) -> list[psutil.Process]:
    """Those whose parent is none of them: each tells its helpers what to do, so they get no signal."""
    ids = {process.pid for process in processes}
    return [process for process in processes if _parent(process) not in ids]


def _parent(process: psutil.Process) -> int | None:
    try:
        return int(process.ppid())
    except psutil.Error:
        return None


def lives(process: psutil.Process) -> bool:
    """Whether it runs; a frozen worker cannot collect its children, so they stay as zombies."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False
