"""A complete local installation as one command: `make up`, or `python -m deployments.up --port 4200`.

It runs Prefect's server with its UI on 127.0.0.1, both work pools with a worker each, every deployment and automation.
Ctrl-C ends everything. Runs and schedules are kept in `prefect/` of the data folder, in SQLite or in the PostgreSQL
database that SPINNERET_DATABASE_URL names; logs are in `logs/`. The object store of the default destination,
`data/store`, is not started here: a run serves it while it reads or publishes.

Each part is a guarded child, so that nothing outlives this process, however it ends. A part that ends by itself is
restarted. A worker that is stopped saves the training that it runs (see worker.py).
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
from tasks.stage.folders import ensure_folder

PORT = 4200
DATABASE = "SPINNERET_DATABASE_URL"
START_LIMIT_S = 180
_POLL_S = 0.5
_GRACE_S = 20.0
"""How long a run has for its checkpoint. After a kill -9 of this process it has no server to report to."""
_RESTART_DELAY_S = 5.0
_SERVER_SETTINGS = (
    "PREFECT_API_",
    "PREFECT_HOME",
    "PREFECT_PROFILE",
    "PREFECT_PROFILES_PATH",
    "PREFECT_SERVER_",
    "PREFECT_UI_",
)
"""Settings for another server, which this one must not get."""


@dataclass
class Part:
    """A process of the installation: the server or a worker."""

    name: str
    command: list[str]
    environment: dict[str, str]
    log: Path
    grace_s: float
    child: GuardedChild = field(init=False)

    def start(self) -> None:
        """Start or restart the process."""
        self.child = GuardedChild.start(self.command, self.environment, self.log, grace_s=self.grace_s)

    def close(self) -> None:
        """End the process and wait until it is gone."""
        self.child.close()


def up(port: int) -> None:
    """Start everything and keep it running until KeyboardInterrupt or SystemExit.

    Raises:
        InputError: an installation with this data folder is running already.
        UnavailableError: the server did not start, or the deployments could not be created.
    """
    logs = settings().data / "logs"
    ensure_folder(logs)
    with _single_installation() as publish_address, contextlib.ExitStack() as running:
        port = _free_port(port)
        address = f"http://127.0.0.1:{port}"
        environment = _environment(address)
        server = Part("server", _server(port), {**environment, **_database()}, logs / "server.log", 10.0)
        print(f"starting Prefect's server (log: {server.log})", flush=True)
        publish_address(address)
        _begin(server, running)
        _wait_until_healthy(server, address)
        url = os.environ.get(automations.VARIABLE)
        install(environment, logs / "deploy.log", url)
        workers = [_worker(pool, limit, environment, logs) for pool, limit in POOLS.items()]
        for part in workers:
            _begin(part, running)
        running.callback(_close_all, workers)
        print(_summary(address, logs, notified=bool(url)), flush=True)
        _restart_forever([server, *workers])


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
    """The environment of every part, without settings for any other Prefect server."""
    data = settings().data
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_SERVER_SETTINGS)}
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
    """The setting of the server's database, for the server alone: the URL has a password."""
    url = os.environ.get(DATABASE)
    return {"PREFECT_API_DATABASE_CONNECTION_URL": url} if url else {}


@contextmanager
def _single_installation() -> Iterator[Callable[[str], None]]:
    """Be the only installation of this data folder while the block runs; yields what writes our address to the lock."""
    path = settings().data / "up.lock"
    with path.open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            where = path.read_text().strip() or "it is just starting"
            raise InputError(f"it is up already: {where} (data folder {settings().data})") from error
        os.ftruncate(lock.fileno(), 0)

        def publish_address(address: str) -> None:
            lock.write(f"{address}, process {os.getpid()}\n")
            lock.flush()

        yield publish_address


def _free_port(wanted: int) -> int:
    """`wanted`, or another free port if it is in use."""
    for port in (wanted, 0):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            free = int(probe.getsockname()[1])
            if free != wanted:
                print(f"port {wanted} is in use, so the server listens on {free}", flush=True)
            return free
    raise UnavailableError(f"port {wanted} is in use and no other one is free: choose one with --port")


def _wait_until_healthy(server: Part, address: str) -> None:
    ends = time.monotonic() + START_LIMIT_S
    while time.monotonic() < ends and server.child.poll() is None:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"{address}/api/health", timeout=5, trust_env=False).is_success:
                return
        time.sleep(0.2)
    raise UnavailableError(f"Prefect's server did not start: see its log, {server.log}")


def _restart_forever(parts: Sequence[Part]) -> None:
    """Restart every part that ends by itself, in an endless loop."""
    while True:
        time.sleep(_POLL_S)
        for part in parts:
            status = part.child.poll()
            if status is not None:
                print(f"the {part.name} ended with status {status} and is restarted (log: {part.log})", flush=True)
                time.sleep(_RESTART_DELAY_S)
                part.start()


def _close_all(parts: Sequence[Part]) -> None:
    """Close the parts at the same time, since each may have a checkpoint to save."""
    closing = [threading.Thread(target=part.close) for part in parts]
    for thread in closing:
        thread.start()
    for thread in closing:
        thread.join()


def _summary(address: str, logs: Path, *, notified: bool) -> str:
    notifications = "go to the webhook" if notified else f"off; set {automations.VARIABLE} to get them"
    lines = [
        f"UI             {address}",
        "next           open it, Deployments, train, Run; or in another terminal:",
        f"               PREFECT_API_URL={address}/api .venv/bin/prefect deployment run train/train --watch",
        f"notifications  {notifications}",
        f"logs           {logs}",
        "stop           Ctrl-C; a training that is running resumes at the next start",
    ]
    return "\n".join(lines)


def main() -> int:
    """Run the command; the exit code is 2 after an error, 130 after Ctrl-C, 143 after SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m deployments.up", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--port", type=int, default=PORT, help="the port of the UI on 127.0.0.1 (%(default)s)")
    options = parser.parse_args()
    os.chdir(ROOT)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts background jobs with SIGINT ignored
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    signal.signal(signal.SIGHUP, lambda *_: sys.exit(128 + signal.SIGHUP))
    try:
        up(options.port)
    except SpinneretError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 128 + signal.SIGINT
    return 0


if __name__ == "__main__":
    sys.exit(main())
