"""Up: a whole local installation for trying, as one command.

What comes in: nothing that has to be set up before. What it leaves while it runs: Prefect's server with its UI on
127.0.0.1, both pools with a worker each, every deployment and automation. Its state is in the data folder (runs and
schedules in `prefect/`, logs in `logs/`), so the next start goes on from there. The object store of the default
destination, `data/store`, needs no start of its own: a run serves it for as long as it reads or publishes. Runs are
kept in SQLite, or in the PostgreSQL that SPINNERET_DATABASE_URL names.
Command: `make up`, or `python -m deployments.up --port 4200`; Ctrl-C ends everything.

Each part is a guarded child: nothing outlives this process, however it ends. A part that ends by itself is started
again. A worker that is stopped saves the training that it runs (see worker.py).
"""

import argparse
import contextlib
import fcntl
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from deployments import automations
from deployments.installation import POOLS, install
from tasks.errors import InputError, SpinneretError, UnavailableError
from tasks.guarded_process import GuardedChild
from tasks.settings import ROOT, settings
from tasks.stage.folders import make_place

PORT = 4200
DATABASE = "SPINNERET_DATABASE_URL"
START_LIMIT_S = 180
_LOOK_S = 0.5
_GRACE_S = 20.0
"""How long a run has to save itself; after a kill -9 of ours there is no server that it could report to."""
_AGAIN_S = 5.0
"""How long a part that ended by itself is left alone before it is started again."""
_OTHERS = ("PREFECT_API_", "PREFECT_HOME", "PREFECT_PROFILE", "PREFECT_PROFILES_PATH", "PREFECT_SERVER_", "PREFECT_UI_")
"""Settings of another server, which this one has nothing to do with."""


@dataclass
class Part:
    """A process of the installation."""

    name: str
    command: list[str]
    environment: dict[str, str]
    log: Path
    grace_s: float
    child: GuardedChild = field(init=False)

    def start(self) -> None:
        """Start it, for the first time or again."""
        self.child = GuardedChild.start(self.command, self.environment, self.log, grace_s=self.grace_s)

    def close(self) -> None:
        """End it, and wait until it is gone."""
        self.child.close()


def up(port: int) -> None:
    """Bring everything up and keep it up until KeyboardInterrupt or SystemExit.

    Raises:
        InputError: an installation with this data folder is up already.
        UnavailableError: the server did not start, or refused what is to be installed.
    """
    logs = settings().data / "logs"
    make_place(logs)
    with _only_one() as tell_others, contextlib.ExitStack() as running:
        port = _free_port(port)
        address = f"http://127.0.0.1:{port}"
        environment = _environment(address)
        server = Part("server", _server(port), {**environment, **_database()}, logs / "server.log", 10.0)
        print(f"starting Prefect's server (log: {server.log})", flush=True)
        tell_others(address)
        _begin(server, running)
        _wait(server, address)
        url = os.environ.get(automations.VARIABLE)
        install(environment, logs / "deploy.log", url)
        workers = [_worker(pool, limit, environment, logs) for pool, limit in POOLS.items()]
        for part in workers:
            _begin(part, running)
        running.callback(_close_all, workers)
        print(_what_now(address, logs, notified=bool(url)), flush=True)
        _keep_up([server, *workers])


def _begin(part: Part, running: contextlib.ExitStack) -> None:
    part.start()
    running.callback(part.close)


def _server(port: int) -> list[str]:
    return [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]


def _worker(pool: str, limit: int | None, environment: dict[str, str], logs: Path) -> Part:
    command = [sys.executable, "-u", "-m", "deployments.worker", "--pool", pool, "--name", pool]
    command += ["--grace", str(_GRACE_S)]
    command += [] if limit is None else ["--limit", str(limit)]
    return Part(f"worker of the pool {pool}", command, environment, logs / f"worker-{pool}.log", _GRACE_S + 15)


def _environment(address: str) -> dict[str, str]:
    """Of everything that is started: ours alone, whatever server the person who starts it uses otherwise."""
    data = settings().data
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_OTHERS)}
    return {
        "PREFECT_RESULTS_LOCAL_STORAGE_PATH": str(data / "results"),
        **kept,
        "PREFECT_API_URL": f"{address}/api",
        "PREFECT_UI_URL": address,  # for the links in notifications
        "PREFECT_HOME": str(data / "prefect"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "SPINNERET_DATA": str(data),
        "SPINNERET_ROOT": str(ROOT),
    }


def _database() -> dict[str, str]:
    """For the server alone: its database where that is not SQLite in the data folder; the address has a password."""
    url = os.environ.get(DATABASE)
    return {"PREFECT_API_DATABASE_CONNECTION_URL": url} if url else {}


@contextmanager
def _only_one() -> Iterator[Callable[[str], None]]:
    """Be the only installation with this data folder while the block runs; gives what tells others our address."""
    place = settings().data / "up.lock"
    with place.open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            where = place.read_text().strip() or "it is just starting"
            raise InputError(f"it is up already: {where} (data folder {settings().data})") from error
        os.ftruncate(lock.fileno(), 0)

        def tell_others(address: str) -> None:
            lock.write(f"{address}, process {os.getpid()}\n")
            lock.flush()

        yield tell_others


def _free_port(wanted: int) -> int:
    """`wanted`, or another one where somebody has it."""
    for port in (wanted, 0):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            free = int(probe.getsockname()[1])
            if free != wanted:
                print(f"port {wanted} is taken, so the server listens on {free}", flush=True)
            return free
    raise UnavailableError(f"port {wanted} is taken and there is no other: name one with --port")


def _wait(server: Part, address: str) -> None:
    ends = time.monotonic() + START_LIMIT_S
    while time.monotonic() < ends and server.child.poll() is None:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"{address}/api/health", timeout=5, trust_env=False).is_success:
                return
        time.sleep(0.2)
    raise UnavailableError(f"Prefect's server did not start; why stands in its log, {server.log}")


def _keep_up(parts: Sequence[Part]) -> None:
    """Start again what ends by itself, for ever."""
    while True:
        time.sleep(_LOOK_S)
        for part in parts:
            status = part.child.poll()
            if status is not None:
                print(f"the {part.name} ended with status {status} and is started again (log: {part.log})", flush=True)
                time.sleep(_AGAIN_S)
                part.start()


def _close_all(parts: Sequence[Part]) -> None:
    """All at once, since each may have a training to save."""
    closing = [threading.Thread(target=part.close) for part in parts]
    for thread in closing:
        thread.start()
    for thread in closing:
        thread.join()


def _what_now(address: str, logs: Path, *, notified: bool) -> str:
    told = "to the webhook" if notified else f"nowhere; set {automations.VARIABLE} for that"
    lines = [
        f"UI             {address}",
        "next           there: Deployments, train/train, Run; or in another terminal:",
        f"               PREFECT_API_URL={address}/api .venv/bin/prefect deployment run train/train --watch",
        f"notifications  {told}",
        f"logs           {logs}",
        "end            Ctrl-C; a training that is under way goes on at the next start",
    ]
    return "\n".join(lines)


def main() -> int:
    """The command; the exit code is 2 for what a person can mend, 130 after Ctrl-C, 143 after SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m deployments.up", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--port", type=int, default=PORT, help="of the UI, on 127.0.0.1 (%(default)s)")
    told = parser.parse_args()
    os.chdir(ROOT)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts what runs in the background deaf to it
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    signal.signal(signal.SIGHUP, lambda *_: sys.exit(128 + signal.SIGHUP))
    try:
        up(told.port)
    except SpinneretError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("everything has ended", file=sys.stderr)
        return 128 + signal.SIGINT
    return 0


if __name__ == "__main__":
    sys.exit(main())
