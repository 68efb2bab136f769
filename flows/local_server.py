"""Prefect's server for a local run: a guarded child, started only where no server is configured.

What comes in: Prefect's settings. What it leaves: an API to report to while the block runs. With PREFECT_API_URL set
that server is used and none is started. The child ends with its parent, also on kill -9, and Ctrl-C does not reach it,
so the run can still report its end.
"""

import fcntl
import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import prefect
from prefect.settings import PREFECT_API_URL, get_current_settings, temporary_settings

from tasks.errors import UnavailableError
from tasks.folders import make_place
from tasks.guarded_child import GuardedChild
from tasks.settings import settings

START_LIMIT_S = 180


@contextmanager
def prefect_api() -> Iterator[str]:
    """The address of the API that a run reports to; UnavailableError where it does not answer."""
    configured = PREFECT_API_URL.value()
    if configured:
        _check(configured)
        yield configured
        return
    address = _start()
    with temporary_settings({PREFECT_API_URL: address}):
        yield address


def _start() -> str:
    port = _free_port()
    address = f"http://127.0.0.1:{port}/api"
    log = settings().data / "logs" / f"prefect-server-{os.getpid()}.log"
    make_place(log.parent)
    log.unlink(missing_ok=True)
    command = [sys.executable, "-m", "uvicorn", "--app-dir", str(prefect.__module_path__.parent), "--factory"]
    command += ["prefect.server.api.server:create_app", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--log-level", "error", "--lifespan", "on"]
    print(f"starting a Prefect server for this run (log: {log})", file=sys.stderr)
    with _one_start_at_a_time():
        # The child is ended at exit, after Prefect has sent its last logs.
        _wait(GuardedChild.start(command, _environment(address), log), address, log)
    return address


@contextmanager
def _one_start_at_a_time() -> Iterator[None]:
    """Two servers that make the same new database at once spoil it for each other: the second start waits."""
    home = get_current_settings().home
    home.mkdir(parents=True, exist_ok=True)
    with (home / "spinneret-start.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _environment(address: str) -> dict[str, str]:
    """The server's settings: API and UI, and no service that acts on other runs than ours or on old events."""
    off = ["SCHEDULER", "LATE_RUNS", "FOREMAN", "TRIGGERS", "PAUSE_EXPIRATIONS", "CANCELLATION_CLEANUP"]
    off += ["REPOSSESSOR", "CLEANUP_RECONCILER"]
    return {
        **os.environ,
        **get_current_settings().to_environment_variables(exclude_unset=True),
        **{f"PREFECT_SERVER_SERVICES_{service}_ENABLED": "false" for service in off},
        "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "orphans",  # that is, not "events"
        "PREFECT_UI_API_URL": address,
        "PREFECT__SERVER_FINAL": "1",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
    }


def _wait(child: GuardedChild, address: str, log: Path) -> None:
    ends = time.monotonic() + START_LIMIT_S
    while time.monotonic() < ends and child.poll() is None:
        try:
            if httpx.get(f"{address}/health", timeout=5, trust_env=False).is_success:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    ended = child.poll()
    child.close()
    how = f"did not start within {START_LIMIT_S} s" if ended is None else f"ended at its start, with status {ended}"
    raise UnavailableError(f"Prefect's local server {how}; why stands in its log, {log}.")


def _check(address: str) -> None:
    try:
        httpx.get(f"{address.rstrip('/')}/health", timeout=10).raise_for_status()
    except httpx.HTTPError as error:
        raise UnavailableError(
            f"The Prefect server at PREFECT_API_URL={address} does not answer ({error}); start it, correct the "
            "address, or unset PREFECT_API_URL to run without a server."
        ) from error


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
