"""One installation by `make up` and one by the commands of the README, for all tests of this folder."""

import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from deployments.up import DATABASE
from tasks.settings import ROOT
from tests.deployments.api import Api, eventually
from tests.deployments.installation import (
    RESUMED,
    apply_automations,
    client_environment,
    deployed_server,
    endless_training,
    free_port,
    last_checkpoint,
)
from tests.deployments.postgres import Postgres, find_postgres, run_postgres
from tests.deployments.processes import command_of, processes_with
from tests.deployments.webhook import Webhook

RUN_AGAIN_S = 10
"""Instead of the twenty seconds of automations.yaml, for which several tests would wait."""


class Up:
    """`make up` with a data folder of its own; it can be stopped and started again."""

    def __init__(self, folder: Path, webhook: Webhook, database: dict[str, str]) -> None:
        self.data, self.log, self.webhook = folder / "data", folder / "log", webhook
        self.port = free_port()
        self.environment = {
            **client_environment(folder, "http://127.0.0.1:9/of-another-server"),
            "SPINNERET_WEBHOOK_URL": webhook.url,
            **database,
        }
        self.start()

    @property
    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def start(self) -> None:
        """Start it and wait until it is up. Its schedule is paused: a nightly run would occupy the GPU pool."""
        self.process = self.run(self.log)
        assert eventually(lambda: "\nstop   " in self.output or self.process.poll() is not None, 180), self.output
        assert self.process.poll() is None, self.output
        found = re.search(r"^UI +(http://127\.0\.0\.1:\d+)$", self.output, re.MULTILINE)
        assert found is not None
        self.api = Api(found[1])
        self.api.pause("train/nightly")
        apply_automations(self.api, self.webhook.url, run_again=RUN_AGAIN_S)

    def run(self, log: Path) -> "subprocess.Popen[bytes]":
        """Start the command; its output goes to `log`."""
        command = [sys.executable, "-u", "-m", "deployments.up", "--port", str(self.port)]
        with log.open("wb") as file:
            return subprocess.Popen(
                command, cwd=ROOT, env=self.environment, stdin=subprocess.DEVNULL, stdout=file, stderr=file,
                start_new_session=True,
            )  # fmt: skip

    def stop(self, number: signal.Signals = signal.SIGINT) -> tuple[int, float]:
        """Send a signal and wait for the end; returns the exit code and the seconds that it took."""
        began = time.monotonic()
        self.process.send_signal(number)
        return self.process.wait(100), time.monotonic() - began

    def kill(self) -> None:
        """Kill it and wait until everything that it started has ended."""
        self.process.kill()
        self.process.wait()
        assert eventually(lambda: not self.running(), 100), self.running()

    def running(self) -> list[str]:
        """The command lines of the process itself and of everything that it started."""
        commands = map(command_of, processes_with("SPINNERET_DATA", str(self.data)))
        return [" ".join(command) for command in commands if command]

    def worker_pid(self, pool: str) -> int:
        """The process id of deployments/worker.py for a pool."""
        pids = [
            process.pid
            for process in processes_with("SPINNERET_DATA", str(self.data))
            if command_of(process)[1:4] == ["-u", "-m", "deployments.worker"] and pool in command_of(process)
        ]
        assert len(pids) == 1, pids
        return int(pids[0])


@pytest.fixture(scope="session")
def webhook() -> Iterator[Webhook]:
    receiver = Webhook()
    yield receiver
    receiver.close()


@pytest.fixture(scope="session")
def postgres(session_home: None) -> Iterator[Postgres]:
    """One PostgreSQL server; each user creates a database of its own."""
    with run_postgres() as server:
        yield server


@pytest.fixture(scope="session")
def deployed(session_home: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A server with the pools and deployments, and no worker; the environment of its clients."""
    with deployed_server(tmp_path_factory.mktemp("deployed")) as environment:
        yield environment


@pytest.fixture(scope="session")
def up(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, webhook: Webhook) -> Iterator[Up]:
    """An installation by `make up`; whatever a test does, nothing of it is left at the end.

    It uses PostgreSQL if that is installed: with SQLite the server loses events, and a worker loses a run, when tests
    keep both cores busy. The last test of test_up.py uses SQLite.
    """
    database = {}
    if find_postgres() is not None:
        server: Postgres = request.getfixturevalue("postgres")
        server.run("createdb", "up")
        database = {DATABASE: f"{server.url}/up"}
    installation = Up(tmp_path_factory.mktemp("up"), webhook, database)
    yield installation
    installation.kill()


@pytest.fixture(scope="session")
def endless(up: Up) -> str:
    """A run of train/train whose training continues until it is ended; it has saved a checkpoint."""
    began = time.time()
    run = up.api.trigger("train/train", endless_training())
    up.api.wait_for_log("training: step 0 of 1,000,000")
    assert eventually(lambda: last_checkpoint(up.data, began), 60)
    return run


@pytest.fixture
def resumed(up: Up) -> int:
    """How often a training has resumed from a checkpoint before this test."""
    return up.api.count_logs(RESUMED)
