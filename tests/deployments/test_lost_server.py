"""A machine that loses its power, and a server that is away for two minutes: no training is lost."""

import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from deployments import automations
from deployments.installation import install
from tasks.guarded_process import GuardedChild
from tests.deployments.installation import (
    RESUMED,
    Api,
    comes,
    endless_training,
    free_port,
    last_checkpoint,
    processes_of,
    processes_with,
)
from tests.deployments.postgres import find_postgres, postgres

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(find_postgres() is None, reason="PostgreSQL is needed: apt-get install postgresql"),
    pytest.mark.skipif(sys.platform != "linux", reason="processes are found in /proc"),
]
AWAY_S = 120
DEAD_S = 45
"""In the place of five minutes, which a test would have to wait for."""


class Machines:
    """A server and a worker of the pool gpu, each of which can be ended and started again.

    The server has PostgreSQL: with SQLite it forgets events while a worker and a run keep the database busy.
    """

    def __init__(self, place: Path, database: str) -> None:
        self.place, port = place, free_port()
        self.api = Api(f"http://127.0.0.1:{port}")
        self.environment = {
            **os.environ,
            "HOME": str(place),
            "SPINNERET_DATA": str(place / "data"),
            "PREFECT_API_URL": f"{self.api.address}/api",
            "PREFECT_API_DATABASE_CONNECTION_URL": database,
            "PREFECT_WORKER_QUERY_SECONDS": "2",
        }
        self._serve = ["-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]

    def start_server(self) -> None:
        self.server = self._start(self._serve, "server.log")
        assert comes(self.api.answers, 180), (self.place / "server.log").read_text()

    def start_worker(self) -> None:
        self.worker = self._start(["-m", "deployments.worker", "--pool", "gpu", "--limit", "1"], "worker.log")

    def steps(self) -> int:
        return last_checkpoint(self.place / "data")

    def everything_of_the_worker(self) -> list[Any]:
        return processes_with("SPINNERET_DATA", str(self.place / "data"))

    def mark_dead_after(self, seconds: float | None) -> None:
        """How long a run may be silent; None is as it comes, which is longer than the server is away."""
        template = automations.read_template()
        if seconds is not None:
            [dead] = [one for one in template if one["name"].endswith("is marked Crashed")]
            dead["trigger"]["within"] = seconds
        with temporary_settings({PREFECT_API_URL: self.environment["PREFECT_API_URL"]}):
            automations.apply(template, None)

    def _start(self, words: list[str], log: str) -> GuardedChild:
        return GuardedChild.start([sys.executable, *words], self.environment, self.place / log, grace_s=90)


@pytest.fixture(scope="module")
def machines(session_home: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    with postgres() as database:
        database.run("createdb", "prefect")
        here = Machines(tmp_path_factory.mktemp("machines"), f"{database.url}/prefect")
        here.start_server()
        install(here.environment, here.place / "deploy.log", None)
        here.start_worker()
        yield here
        here.worker.close()
        here.server.close()


@pytest.fixture(scope="module")
def training(machines: Machines) -> str:
    run = machines.api.trigger("train/train", endless_training())
    machines.api.wait_for_words("training: step 0 of 1,000,000")
    return run


def test_a_run_whose_machine_lost_its_power_is_found_dead_and_goes_on_elsewhere(
    machines: Machines, training: str
) -> None:
    """Before the server is away: one that has just been started waits a quarter of an hour for the events before."""
    machines.mark_dead_after(DEAD_S)
    time.sleep(35)  # a heartbeat
    resumed = machines.api.count(RESUMED)
    for process in [one for one in machines.everything_of_the_worker() if "server" not in one.cmdline()]:
        process.send_signal(signal.SIGKILL)
    machines.worker.close()
    assert machines.api.state(training) == "Running"
    machines.api.wait_for_state(training, "Crashed", DEAD_S + 30)
    machines.api.wait_for_state(training, "AwaitingRetry", 60)
    machines.start_worker()
    machines.api.wait_for_words(RESUMED, resumed + 1)


def test_a_training_outlasts_a_server_that_is_away_for_two_minutes(machines: Machines, training: str) -> None:
    machines.mark_dead_after(None)
    processes, before = processes_of(training), machines.steps()
    starts = machines.api.states(training).count("Running")
    machines.server.close()
    away = time.monotonic()
    assert comes(lambda: machines.steps() > before, AWAY_S), "it trains on"
    time.sleep(max(0.0, AWAY_S - (time.monotonic() - away)))
    assert not machines.api.answers()
    machines.start_server()
    back = machines.steps()
    assert comes(lambda: machines.steps() > back, 60), "and on"
    time.sleep(20)
    assert machines.api.state(training) == "Running"
    assert all(process.is_running() for process in processes)
    assert machines.api.states(training).count("Running") == starts


def test_afterwards_it_can_be_cancelled_and_retried(machines: Machines, training: str) -> None:
    """Prefect's worker has stopped listening to what is to be cancelled; ours looks."""
    processes, resumed = processes_of(training), machines.api.count(RESUMED)
    assert machines.api.set_state(training, "CANCELLING", "Cancelling") == "ACCEPT"
    assert comes(lambda: not any(process.is_running() for process in processes), 120)
    machines.api.wait_for_state(training, "Cancelled", 30)
    assert machines.api.set_state(training, "SCHEDULED", "AwaitingRetry") == "ACCEPT"
    machines.api.wait_for_words(RESUMED, resumed + 1)
