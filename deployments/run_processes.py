"""Find and end the processes of a worker and of its runs.

A worker and everything that it starts have SPINNERET_WORKER in their environment. So they are found even if a kill -9
took their parents away. Only processes of the same user can be read, so no others are found.
"""

import os
import signal
import time
from collections.abc import Collection, Sequence

import psutil  # type: ignore[import-untyped]

MARK = "SPINNERET_WORKER"
RUN = "PREFECT__FLOW_RUN_ID"
"""Prefect sets it for each process of a run."""
_POLL_S = 0.1


def find_processes(mark: str) -> dict[psutil.Process, str | None]:
    """Every process whose environment has `mark`, with the id of its flow run; None for the worker itself."""
    found: dict[psutil.Process, str | None] = {}
    for process in psutil.process_iter():
        try:
            environment = process.environ()
        except (psutil.Error, OSError):  # of another user, or it has just ended
            continue
        if environment.get(MARK) == mark and process.pid != os.getpid():
            found[process] = environment.get(RUN)
    return found


def terminate(processes: Collection[psutil.Process], grace_s: float) -> None:
    """Send SIGTERM to the first process of each run, and SIGKILL to what is left after `grace_s` seconds."""
    send_signal(_leaders(processes), signal.SIGTERM)
    deadline = time.monotonic() + grace_s
    while (left := [process for process in processes if is_alive(process)]) and time.monotonic() < deadline:
        time.sleep(_POLL_S)
    send_signal(left, signal.SIGKILL)


def send_signal(processes: Sequence[psutil.Process], number: signal.Signals) -> None:
    """Send a signal to each of the processes that is still running."""
    for process in processes:
        try:
            process.send_signal(number)
        except psutil.Error:
            continue  # it has just ended


def _leaders(processes: Collection[psutil.Process]) -> list[psutil.Process]:
    """The processes whose parent is not one of them. A leader ends its own helpers, so these get no signal."""
    ids = {process.pid for process in processes}
    return [process for process in processes if _parent(process) not in ids]


def _parent(process: psutil.Process) -> int | None:
    try:
        return int(process.ppid())
    except psutil.Error:
        return None


def is_alive(process: psutil.Process) -> bool:
    """Whether a process runs. A zombie does not: a stopped worker cannot reap its children."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False
