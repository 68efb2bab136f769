"""A machine that loses its power and a server that is unavailable for longer than a minute: no training is lost."""

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deployments.installation import install
from tasks.guarded_process import GuardedChild
from tests.deployments.api import Api, eventually
from tests.deployments.installation import (
    RESUMED,
    apply_automations,
    client_environment,
    endless_training,
    free_port,
    last_checkpoint,
    start_server,
)
from tests.deployments.postgres import Postgres, find_postgres
from tests.deployments.processes import command_of, processes_of, processes_with

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(find_postgres() is None, reason="PostgreSQL is needed: apt-get install postgresql"),
    pytest.mark.skipif(sys.platform != "linux", reason="processes are found in /proc"),
]
AWAY_S, RETRIES = 75, 6
"""Six retries last 126 s. So do the seven of pyproject.toml, twice as long, for the two minutes of the README."""
DEAD_S = 45
"""Longer than the time between two heartbeats, but not five minutes, for which the test would wait."""
WORKER = """
import sys
from deployments import worker
worker._CANCEL_POLL_S = 10.0
sys.exit(worker.main(["--pool", "gpu", "--limit", "1"]))
"""
"""deployments/worker.py, which looks every ten seconds instead of forty for runs that are not cancelled yet."""


class Machines:
    """A server and a worker of the pool gpu, each of which can be stopped and started again.

    The server uses PostgreSQL: with SQLite it loses events while a worker and a run keep the database busy.
    """

    def __init__(self, folder: Path, database: str) -> None:
        self.folder, self.port = folder, free_port()
        self.api = Api(f"http://127.0.0.1:{self.port}")
        self.environment = {
            **client_environment(folder, self.api.address),
            "PREFECT_API_DATABASE_CONNECTION_URL": database,
            "PREFECT_CLIENT_MAX_RETRIES": str(RETRIES),
        }

    def start_server(self) -> None:
        self.server = start_server(self.port, self.environment, self.folder / "server.log")

    def start_worker(self) -> None:
        command, log = [sys.executable, "-c", WORKER], self.folder / "worker.log"
        self.worker = GuardedChild.start(command, self.environment, log, grace_s=90)

    def steps(self) -> int:
        return last_checkpoint(self.folder / "data")

    def processes_of_the_worker(self) -> list[Any]:
        """The worker, its runs and whatever else they started."""
        found = processes_with("SPINNERET_DATA", str(self.folder / "data"))
        return [process for process in found if "server" not in command_of(process)]


@pytest.fixture(scope="module")
def machines(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    postgres.run("createdb", "machines")
    machines = Machines(tmp_path_factory.mktemp("machines"), f"{postgres.url}/machines")
    machines.start_server()
    install(machines.environment, machines.folder / "deploy.log", None)
    machines.start_worker()
    yield machines
    machines.worker.close()
    machines.server.close()


@pytest.fixture(scope="module")
def training(machines: Machines) -> str:
    """A run that has sent a heartbeat and saved a checkpoint."""
    apply_automations(machines.api, mark_dead=DEAD_S)
    run = machines.api.trigger("train/train", endless_training())
    machines.api.wait_for_log("training: step 0 of 1,000,000")
    assert eventually(lambda: machines.steps() > 0, 60)
    return run


def test_a_run_whose_machine_lost_its_power_is_found_dead_and_resumes_elsewhere(
    machines: Machines, training: str
) -> None:
    """First in this file, since a server does not see events from before its start for a quarter of an hour."""
    resumed = machines.api.count_logs(RESUMED)
    for process in machines.processes_of_the_worker():
        process.kill()
    machines.worker.close()
    assert machines.api.state(training) == "Running"
    machines.api.wait_for_state(training, "Crashed", DEAD_S + 30)
    machines.api.wait_for_state(training, "AwaitingRetry", 60)
    machines.start_worker()
    machines.api.wait_for_log(RESUMED, resumed + 1)


def test_a_training_survives_a_server_that_is_unavailable(machines: Machines, training: str) -> None:
    apply_automations(machines.api)
    processes, before = processes_of(training), machines.steps()
    starts = machines.api.states(training).count("Running")
    machines.server.close()
    began = time.monotonic()
    assert eventually(lambda: machines.steps() > before, AWAY_S), "the training continues"
    time.sleep(max(0.0, AWAY_S - (time.monotonic() - began)))
    assert not machines.api.answers()
    machines.start_server()
    back = machines.steps()
    assert eventually(lambda: machines.steps() > back, 60), "and still does"
    time.sleep(20)
    assert machines.api.state(training) == "Running"
    assert all(process.is_running() for process in processes)
    assert machines.api.states(training).count("Running") == starts


def test_afterwards_it_can_be_cancelled_and_retried(machines: Machines, training: str) -> None:
    """Prefect's worker does not listen for cancellations any more, so ours does it."""
    processes, resumed = processes_of(training), machines.api.count_logs(RESUMED)
    assert machines.api.set_state(training, "CANCELLING", "Cancelling") == "ACCEPT"
    assert eventually(lambda: not any(process.is_running() for process in processes), 120)
    machines.api.wait_for_state(training, "Cancelled", 30)
    assert f"worker: run {training} is Cancelled now" in (machines.folder / "worker.log").read_text()
    assert machines.api.set_state(training, "SCHEDULED", "AwaitingRetry") == "ACCEPT"
    machines.api.wait_for_log(RESUMED, resumed + 1)
