"""Worker: `prefect worker start` that can be stopped, or die, without losing a training.

What comes in: the name of a pool, PREFECT_API_URL, and whatever the runs need (SPINNERET_DATA, AWS_ENDPOINT_URL_S3 and
credentials). What it leaves when it is stopped (SIGTERM, as systemd and a reclaimed machine send it, or Ctrl-C): no
process, a checkpoint of each training that was under way, and runs that wait for the next worker, which goes on with
them. Prefect's own worker kills its runs without a warning and leaves them `Running`; killed itself, it leaves their
processes behind.
Command: `python -m deployments.worker --pool gpu --limit 1`.

How: the worker and all that it starts carry SPINNERET_WORKER in their environment, so they can be found whatever
became of their parents. To stop, the worker is frozen (it can neither take a new run nor misread the end of an old one,
and whom it listens to is not cut off), the runs get SIGTERM and time to save themselves, and the server is told to
schedule them again. The same is done with what is left of a worker that was killed, before a new one starts.
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

from deployments.run_processes import MARK, end_gently, marked, send
from tasks.errors import InputError, SpinneretError
from tasks.settings import ROOT, settings
from tasks.stage.folders import make_place

GRACE_S = 60.0
_LOOK_S = 0.1
_CANCEL_LOOK_S = 40.0
"""Prefect's worker gives a cancelled run 30 seconds."""
_SETTLES_S = 5.0
"""In which Prefect's worker tells the server that the process of a run has ended: told later, it would end a retry."""
_STOPS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def work(pool: str, *, name: str, limit: int | None, grace_s: float = GRACE_S) -> int:
    """Be a worker of `pool` until a signal comes or Prefect's worker ends; returns the exit code.

    0 after SIGTERM, 130 after Ctrl-C, 1 where the worker ended by itself: start it again.
    InputError where this machine runs a worker of that name for the same data folder already.
    """
    received: list[int] = []
    with _only_one(name) as mark:
        for number in _STOPS:
            signal.signal(number, lambda number, _: received.append(number))
        end_runs(str(mark), grace_s)
        process = _start(pool, name, limit, str(mark))
        threading.Thread(target=_cancel, args=(str(mark), grace_s), daemon=True).start()
        while not received and process.poll() is None:
            time.sleep(_LOOK_S)
        if not received:
            print(f"worker {name}: Prefect's worker ended by itself, with status {process.poll()}", flush=True)
        end_runs(str(mark), grace_s)
        process.wait()
    return 1 if not received else 130 if received[0] == signal.SIGINT else 0


def end_runs(mark: str, grace_s: float) -> list[UUID]:
    """End the worker that carries `mark` and its runs, and let the next worker go on with them; returns their ids.

    A run that has not ended `grace_s` seconds after SIGTERM is killed: it goes on from an older checkpoint.
    """
    workers = [process for process, run in marked(mark).items() if run is None]
    send(workers, signal.SIGSTOP)
    running = {process: run for process, run in marked(mark).items() if run is not None}
    end_gently(running, grace_s)
    send(workers, signal.SIGKILL)
    runs = sorted({UUID(run) for run in running.values()})
    for run in runs:
        _put_back(run)
    return runs


def _start(pool: str, name: str, limit: int | None, mark: str) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", pool, "--name", name]
    command += [] if limit is None else ["--limit", str(limit)]
    # In a session of its own: a Ctrl-C in the terminal is for us.
    environment = {"SPINNERET_ROOT": str(ROOT), **os.environ, MARK: mark}
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, start_new_session=True)


@contextmanager
def _only_one(name: str) -> Iterator[Path]:
    """The file that stands for the worker of this name, locked while the block runs."""
    mark = settings().data / "workers" / f"{name}.lock"
    make_place(mark.parent)
    with mark.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InputError(
                f"a worker {name!r} runs here already with the data folder {settings().data}: stop it, or give this "
                "one another --name"
            ) from error
        yield mark


def _cancel(mark: str, grace_s: float) -> None:
    """For ever: end runs that wait in vain to be cancelled.

    Prefect's worker does that within seconds, but stops listening for good when its server was away for a minute. So a
    run that is still to be cancelled after forty seconds is ended here.
    """
    waiting: set[UUID] = set()
    while True:
        time.sleep(_CANCEL_LOOK_S)
        running = {process: UUID(run) for process, run in marked(mark).items() if run is not None}
        cancelling = _cancelling(set(running.values()))
        in_vain = cancelling & waiting
        end_gently([process for process, its in running.items() if its in in_vain], grace_s)
        time.sleep(_SETTLES_S if in_vain else 0)
        for run in in_vain:
            _put_back(run, cancel=True)
        waiting = cancelling - in_vain


def _cancelling(runs: set[UUID]) -> set[UUID]:
    """Those of the runs that are to be cancelled; none where the server is away."""
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


def _put_back(run: UUID, *, cancel: bool = False) -> None:
    """Let the next worker go on with a run, unless it ended; one that was to be cancelled is cancelled now."""
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
            then: State[Any] = AwaitingRetry(
                message="The worker was stopped; the next one goes on from the last checkpoint."
            )
            if cancel or state.is_cancelling():
                then = Cancelled(message="Ended by the worker.")
            client.set_flow_run_state(run, then, force=True)
            print(f"worker: run {run} is {then.name} now", flush=True)
    except (httpx.HTTPError, PrefectException) as error:
        print(f"worker: run {run} could not be put back, the server will find it dead ({error!r})", flush=True)


def main(words: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(
        prog="python -m deployments.worker", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--pool", required=True, help="the work pool to take runs from")
    parser.add_argument("--limit", type=int, help="how many runs at once; left out: as many as there are")
    parser.add_argument("--name", help="of this worker, one of a kind on this machine (left out: POOL-HOST)")
    parser.add_argument("--grace", type=float, default=GRACE_S, help="seconds a run has to save itself (%(default)s)")
    told = parser.parse_args(words)
    try:
        return work(
            told.pool, name=told.name or f"{told.pool}-{socket.gethostname()}", limit=told.limit, grace_s=told.grace
        )
    except SpinneretError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
