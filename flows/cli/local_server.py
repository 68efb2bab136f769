"""Prefect's server for a local run: a guarded child, started only where PREFECT_API_URL names no other.

The child ends with its parent, also on kill -9, and Ctrl-C does not reach it, so the run can still report its end.
"""

import importlib
import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import prefect
import psutil  # type: ignore[import-untyped]
from filelock import FileLock
from prefect.client.orchestration import get_client
from prefect.exceptions import PrefectHTTPStatusError
from prefect.settings import (
    PREFECT_API_URL,
    PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
    PREFECT_UI_URL,
    get_current_settings,
    temporary_settings,
)
from prefect.utilities.urls import url_for

from tasks.errors import InputError, UnavailableError
from tasks.guarded_process import GuardedChild
from tasks.settings import settings
from tasks.stage.folders import ensure_folder

if TYPE_CHECKING:
    from prefect import Flow, State
    from prefect.client.schemas.objects import FlowRun

START_LIMIT_S = 180
KEPT_LOGS = 5
"""Log files of ended servers to keep; older ones are removed at the next start."""
_SERVE = "import gc, runpy; gc.set_threshold(100_000); runpy.run_module('uvicorn', run_name='__main__')"
"""The server's program. It makes half a million long-lived objects: less garbage collection saves 15 % of the start."""
_IMPORTED_MEANWHILE = (
    *("matplotlib.figure", "tasks.storage.client", "tasks.storage.publish"),
    *("tasks.modeling", "torch", "transformers", "tasks.modeling.attention", "tasks.modeling.generation"),
)
"""Modules that a run imports later; they are imported while the server starts, first those that a cached run needs.
When the server answers, the rest is left to the run."""


@dataclass(frozen=True)
class Api:
    """The Prefect API of a run."""

    url: str
    ends_with_us: bool


@contextmanager
def prefect_api(*, ui: bool = True) -> Iterator[Api]:
    """The API that a run uses; raises UnavailableError where it does not answer.

    A server that is started here serves the UI as well, unless `ui` is off.
    """
    configured = PREFECT_API_URL.value()
    if configured:
        _check(configured)
        yield Api(configured, ends_with_us=False)
        return
    url = _start(ui)
    settings_of_run = {
        PREFECT_API_URL: url,
        PREFECT_UI_URL: url.replace("/api", "/v2"),
        # Heartbeats are for a server that outlives the run, and each flow waits up to a second for the last one.
        PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None,
    }
    with temporary_settings(settings_of_run):
        yield Api(url, ends_with_us=True)


def with_url_printed(flow: "Flow[..., Any]", api: Api) -> "Flow[..., Any]":
    """The same flow, which prints the URL of its page in the UI, on stderr, when it begins."""

    def print_url(flow: "Flow[..., Any]", flow_run: "FlowRun", state: "State[Any]") -> None:
        url = url_for(flow_run)
        if url is not None:
            print(f"watch it at {url}{', as long as the run lasts' if api.ends_with_us else ''}", file=sys.stderr)

    return flow.with_options(on_running=[*flow.on_running_hooks, print_url])


def _start(ui: bool) -> str:
    port = _free_port()
    url = f"http://127.0.0.1:{port}/api"
    log = settings().data / "logs" / f"prefect-server-{os.getpid()}.log"
    ensure_folder(log.parent)
    _clear_logs(log.parent)
    log.unlink(missing_ok=True)
    command = [sys.executable, "-c", _SERVE, "--app-dir", str(prefect.__module_path__.parent), "--factory"]
    command += ["prefect.server.api.server:create_app", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--log-level", "error", "--lifespan", "on", "--timeout-graceful-shutdown", "1"]
    with _start_lock():
        # The child is ended at exit, after Prefect has sent its last logs.
        child = GuardedChild.start(command, _environment(url, ui), log)
        _wait(child, url, log)
    return url


def _clear_logs(folder: Path) -> None:
    """Remove the log files of servers whose command has ended, except the newest ones."""
    ended = [path for path in folder.glob("prefect-server-*.log") if not _is_alive(path.stem.rpartition("-")[2])]
    with suppress(FileNotFoundError):  # another command may clear them at the same time
        for path in sorted(ended, key=lambda path: path.stat().st_mtime, reverse=True)[KEPT_LOGS:]:
            path.unlink()


def _is_alive(pid: str) -> bool:
    return pid.isdecimal() and bool(int(pid) in psutil.pids())


def _start_lock() -> FileLock:
    """Two servers that make the same new database at once damage it, so the second start waits."""
    home = get_current_settings().home
    home.mkdir(parents=True, exist_ok=True)
    return FileLock(home / "spinneret-start.lock")


def _environment(url: str, ui: bool) -> dict[str, str]:
    """The server's settings: API and perhaps UI, and no service that acts on other runs than ours or on old events."""
    off = ["SCHEDULER", "LATE_RUNS", "FOREMAN", "TRIGGERS", "PAUSE_EXPIRATIONS", "CANCELLATION_CLEANUP"]
    off += ["REPOSSESSOR", "CLEANUP_RECONCILER"]
    return {
        **os.environ,
        **get_current_settings().to_environment_variables(exclude_unset=True),
        **{f"PREFECT_SERVER_SERVICES_{service}_ENABLED": "false" for service in off},
        "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "orphans",  # that is, not "events"
        "PREFECT_UI_ENABLED": str(ui).lower(),
        "PREFECT_UI_API_URL": url,
        **_ui_folder(),
        "PREFECT__SERVER_FINAL": "1",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
    }


def _ui_folder() -> dict[str, str]:
    """Prefect's server copies the UI's files into its own package; if that is read-only, they go to its home."""
    if os.access(prefect.__ui_static_subpath__.parent, os.W_OK):
        return {}
    return {"PREFECT_UI_STATIC_DIRECTORY": str(get_current_settings().home / "ui")}


def _wait(child: GuardedChild, url: str, log: Path) -> None:
    ends = time.monotonic() + START_LIMIT_S
    modules = iter(_IMPORTED_MEANWHILE)
    with httpx.Client(trust_env=False, verify=False) as client:  # noqa: S501 http on this machine
        while time.monotonic() < ends and child.poll() is None:
            try:
                if client.get(f"{url}/health", timeout=5).is_success:
                    return
            except httpx.TransportError:
                name = next(modules, None)
                importlib.import_module(name) if name else time.sleep(0.05)
    ended = child.poll()
    child.close()
    how = f"did not start within {START_LIMIT_S} s" if ended is None else f"ended at its start, with status {ended}"
    raise UnavailableError(f"Prefect's local server {how}; see its log, {log}.")


def _check(url: str) -> None:
    try:
        httpx.get(f"{url.rstrip('/')}/health", timeout=10).raise_for_status()
    except httpx.HTTPError as error:
        raise UnavailableError(
            f"The Prefect server at PREFECT_API_URL={url} does not answer ({error}); start it, correct the "
            "address, or unset PREFECT_API_URL to run without a server."
        ) from error
    _check_password(url)


def _check_password(url: str) -> None:
    """A server with a password answers health checks without it, and nothing else."""
    with get_client(sync_client=True) as client:
        try:
            client.api_version()
        except PrefectHTTPStatusError as error:
            if error.response.status_code not in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
                raise
            raise InputError(
                f"The Prefect server at PREFECT_API_URL={url} refuses access: set PREFECT_API_AUTH_STRING to its "
                "name and password (name:password)."
            ) from error


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
