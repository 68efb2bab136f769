"""Every test has a home, a data folder and an environment of its own; a Prefect server only if it is used."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pytest

from tasks.modeling import set_thread_defaults
from tasks.settings import settings

if TYPE_CHECKING:
    from tasks.storage.embedded_server import Endpoint

_SHARED_SERVER = {
    "tests/flows/": "prefect",
    "tests/stage/test_caching.py": "prefect",
    "tests/deployments/": "installation",
}
"""Tests that share a server, and its name: one process runs them all."""
_REMOVED = ("AWS_", "HF_", "HUGGING", "PREFECT_", "SPINNERET_")

_PREFECT_HOME = TemporaryDirectory(prefix="spinneret-tests-")


def pytest_configure() -> None:
    """Isolate the session before Prefect is imported, since it reads its settings then.

    A command that a shell or CI runs in the background ignores SIGINT; the tests and their commands must not.
    """
    _isolate(pytest.MonkeyPatch())
    os.environ["PREFECT_HOME"] = _PREFECT_HOME.name
    os.environ["PREFECT_SERVER_ALLOW_EPHEMERAL_MODE"] = "false"  # no test starts a server by accident
    set_thread_defaults()
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Each file goes to one process; those that share a server go to the same one, so that it is started once."""
    from xdist.scheduler import LoadFileScheduling

    class SharedServers(LoadFileScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            file: str = super()._split_scope(nodeid)
            return next((server for start, server in _SHARED_SERVER.items() if file.startswith(start)), file)

    return SharedServers(config, log)


@pytest.fixture(scope="session", autouse=True)
def session_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Servers of the whole session have a home and an environment of their own as well."""
    with pytest.MonkeyPatch.context() as patch:
        _isolate(patch)
        patch.setenv("HOME", str(tmp_path_factory.mktemp("session-home")))
        patch.setenv("DO_NOT_TRACK", "1")
        patch.setenv("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
        yield


@pytest.fixture(autouse=True)
def isolated(
    session_home: None, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """The test has a home, a data folder and an environment of its own."""
    _isolate(monkeypatch)
    home = tmp_path_factory.mktemp("home")  # beside tmp_path, which tests may list
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("PREFECT_RESULTS_LOCAL_STORAGE_PATH", str(tmp_path / "results"))
    monkeypatch.setenv("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
    monkeypatch.setenv("SPINNERET_DATA", str(tmp_path / "data"))
    settings.cache_clear()
    yield
    settings.cache_clear()


@pytest.fixture
def remote_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the server of `remote` keeps its buckets."""
    return tmp_path_factory.mktemp("remote")


@pytest.fixture
def remote(isolated: None, remote_folder: Path, monkeypatch: pytest.MonkeyPatch) -> "Iterator[Endpoint]":
    """A real S3 server on loopback, configured by boto3's environment variables as a remote one is."""
    from tasks.storage.embedded_server import embedded_store

    with embedded_store(remote_folder) as endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", endpoint.url)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", endpoint.access_key_id)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", endpoint.secret_access_key)
        yield endpoint


@pytest.fixture(scope="session")
def prefect_server(session_home: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The API URL of a Prefect server of this session, which flows and tasks in this process use.

    It is the server of a local run. That of Prefect's test harness hung for 60 s once in a hundred runs.
    """
    from flows.cli.local_server import prefect_api

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPINNERET_DATA", str(tmp_path_factory.mktemp("server-data")))
        settings.cache_clear()
        with prefect_api(ui=False) as api:
            yield api.url


@pytest.fixture
def server(prefect_server: str, tmp_path: Path) -> Iterator[str]:
    """The server of the session, with results in a folder of this test."""
    from prefect.settings import PREFECT_RESULTS_LOCAL_STORAGE_PATH, temporary_settings

    with temporary_settings(updates={PREFECT_RESULTS_LOCAL_STORAGE_PATH: tmp_path / "results"}):
        yield prefect_server


@pytest.fixture(autouse=True)
def signals() -> Iterator[None]:
    """Put back the signal handlers that a command sets."""
    kept = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)


def _isolate(patch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(_REMOVED)]:
        patch.delenv(name)
