"""`prefect worker start` that can be stopped or killed without losing a training.

When Prefect's own worker is stopped, it kills its runs without a warning and leaves them `Running`. When it is
killed, it leaves their processes behind. This one, on SIGTERM (systemd and reclaimed machines send it) or
Ctrl-C, gives each run time to save a checkpoint and reschedules it. The next worker resumes it.
Command: `python -m deployments.worker --pool gpu --limit 1`.

The worker and everything that it starts have SPINNERET_WORKER in their environment, so they are found even if their
parents are gone. To stop, Prefect's worker is first suspended by SIGSTOP: it can neither take a new run nor misread the
end of an old one. Then the runs get SIGTERM, and the server is asked to reschedule them. Before a new worker starts,
what a killed worker of its name left behind is ended in the same way.
"""

import argparse
import fcntl
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

from deployments.run_processes import MARK, find_processes, send_signal, terminate
from tasks.errors import InputError, SpinneretError
from tasks.settings import ROOT, settings
from tasks.stage.folders import ensure_folder

GRACE_S = 60.0
_POLL_S = 0.1
_CANCEL_POLL_S = 40.0
"""Longer than the 30 seconds that Prefect's worker gives a cancelled run."""
_SETTLES_S = 5.0
"""Prefect's worker reports the end of a run's process within this time. A later report would end a retry."""
_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def run_worker(pool: str, *, name: str, limit: int | None, grace_s: float = GRACE_S) -> int:
    """Run a worker of `pool` until a signal arrives or Prefect's worker ends; returns the exit code.

    0 after SIGTERM, 130 after Ctrl-C, 1 if Prefect's worker ended by itself. Raises InputError if a worker of this name
    runs already with the same data folder.
    """
    received: list[int] = []
    with _locked_mark(name) as mark:
        for number in _STOP_SIGNALS:
            signal.signal(number, lambda number, _: received.append(number))
        end_runs(str(mark), grace_s)
        process = _start(pool, name, limit, str(mark))
        threading.Thread(target=_watch_cancellations, args=(str(mark), grace_s), daemon=True).start()
        while not received and process.poll() is None:
            time.sleep(_POLL_S)
        if not received:
            print(f"worker {name}: Prefect's worker ended by itself, with status {process.poll()}", flush=True)
        end_runs(str(mark), grace_s)
        process.wait()
    return 1 if not received else 130 if received[0] == signal.SIGINT else 0


def end_runs(mark: str, grace_s: float) -> list[UUID]:
    """End the worker that has `mark` and its runs, and reschedule the runs; returns their ids.

    A run that has not ended `grace_s` seconds after SIGTERM is killed. It resumes from an older checkpoint.
    """
    workers = [process for process, run in find_processes(mark).items() if run is None]
    send_signal(workers, signal.SIGSTOP)
    running = {process: run for process, run in find_processes(mark).items() if run is not None}
    terminate(running, grace_s)
    send_signal(workers, signal.SIGKILL)
    runs = sorted({UUID(run) for run in running.values()})
    for run in runs:
        _reschedule(run)
    return runs


def _start(pool: str, name: str, limit: int | None, mark: str) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", pool, "--name", name]
    command += [] if limit is None else ["--limit", str(limit)]
    # In its own session, so that a Ctrl-C in the terminal reaches only us.
    environment = {"SPINNERET_ROOT": str(ROOT), **os.environ, MARK: mark}
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, start_new_session=True)


@contextmanager
def _locked_mark(name: str) -> Iterator[Path]:
    """The lock file of the worker of this name, whose path is its mark; locked while the block runs."""
    mark = settings().data / "workers" / f"{name}.lock"
    ensure_folder(mark.parent)
    with mark.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InputError(
                f"a worker {name!r} runs here already with the data folder {settings().data}: stop it, or give this "
                "one another --name"
            ) from error
        yield mark


def _watch_cancellations(mark: str, grace_s: float) -> None:
    """End, in an endless loop, runs that are still Cancelling after forty seconds.

    Prefect's worker cancels a run within seconds, but it stops listening for good if its server was unavailable for a
    minute.
    """
    before: set[UUID] = set()
    while True:
        time.sleep(_CANCEL_POLL_S)
        running = {process: UUID(run) for process, run in find_processes(mark).items() if run is not None}
        cancelling = _cancelling(set(running.values()))
        overdue = cancelling & before
        terminate([process for process, run in running.items() if run in overdue], grace_s)
        time.sleep(_SETTLES_S if overdue else 0)
        for run in overdue:
            _reschedule(run, cancel=True)
        before = cancelling - overdue


def _cancelling(runs: set[UUID]) -> set[UUID]:
    """Those of the runs that are Cancelling; none if the server is unavailable."""
    import httpx
    from prefect.client.orchestration import get_client
    from prefect.exceptions import PrefectException

    if not runs:
        return set()
    try:
        with get_client(sync_client=True) as client:
            states = {run: client.read_flow_run(run).state for run in runs}
    except (httpx.HTTPError, PrefectException):
        return set()
    return {run for run, state in states.items() if state is not None and state.is_cancelling()}


def _reschedule(run: UUID, *, cancel: bool = False) -> None:
    """Reschedule a run for the next worker unless it has ended; a run that was Cancelling becomes Cancelled."""
    import httpx
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.objects import State
    from prefect.exceptions import PrefectException
    from prefect.states import AwaitingRetry, Cancelled

    try:
        with get_client(sync_client=True) as client:
            state = client.read_flow_run(run).state
            if state is None or (state.is_final() and not state.is_crashed()) or (state.is_scheduled() and not cancel):
                return
            new_state: State[Any] = AwaitingRetry(
                message="The worker was stopped; the next one resumes from the last checkpoint."
            )
            if cancel or state.is_cancelling():
                new_state = Cancelled(message="Ended by the worker.")
            client.set_flow_run_state(run, new_state, force=True)
            print(f"worker: run {run} is {new_state.name} now", flush=True)
    except (httpx.HTTPError, PrefectException) as error:
        print(f"worker: run {run} could not be rescheduled; the server will mark it Crashed ({error!r})", flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m deployments.worker", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--pool", required=True, help="the work pool to take runs from")
    parser.add_argument("--limit", type=int, help="the maximum number of runs at once (default: no limit)")
    parser.add_argument("--name", help="of this worker, unique on this machine (default: POOL-HOST)")
    parser.add_argument(
        "--grace", type=float, default=GRACE_S, help="seconds that a run has for its checkpoint (%(default)s)"
    )
    options = parser.parse_args(arguments)
    try:
        return run_worker(
            options.pool,
            name=options.name or f"{options.pool}-{socket.gethostname()}",
            limit=options.limit,
            grace_s=options.grace,
        )
    except SpinneretError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
