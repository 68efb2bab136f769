"""One installation for all tests of this room, as `make up` brings it up."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from deployments.up import DATABASE
from tasks.settings import ROOT
from tests.deployments.installation import (
    RESUMED,
    Api,
    Webhook,
    comes,
    endless_training,
    free_port,
    last_checkpoint,
    processes_with,
)
from tests.deployments.postgres import find_postgres, postgres


class Up:
    """`make up` with a data folder of its own; it can be ended and started again."""

    def __init__(self, place: Path, webhook: Webhook, database: dict[str, str]) -> None:
        self.place, self.data, self.out, self.webhook = place, place / "data", place / "out", webhook
        self.port = free_port()
        self.environment = {
            **os.environ,
            "HOME": str(place),
            "SPINNERET_DATA": str(self.data),
            "SPINNERET_WEBHOOK_URL": webhook.url,
            "PREFECT_API_URL": "http://127.0.0.1:9/of-another-server",
            "PREFECT_WORKER_QUERY_SECONDS": "2",
            **database,
        }
        self.start()

    @property
    def said(self) -> str:
        return self.out.read_text(errors="replace")

    def start(self) -> None:
        """Start it and wait until it is up."""
        self.process = self.run(self.out)
        assert comes(lambda: "\nstop   " in self.said or self.process.poll() is not None, 180), self.said
        assert self.process.poll() is None, self.said
        found = re.search(r"^UI +(http://127\.0\.0\.1:\d+)$", self.said, re.MULTILINE)
        assert found is not None
        self.api = Api(found[1])
        self.stop_the_clock()

    def stop_the_clock(self) -> None:
        """No run of the schedule: at three in the morning it would hold the GPU pool while tests wait for it."""
        self.api.pause("train/nightly")

    def run(self, out: Path) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-u", "-m", "deployments.up", "--port", str(self.port)]
        with out.open("wb") as file:
            return subprocess.Popen(
                command, cwd=ROOT, env=self.environment, stdin=subprocess.DEVNULL, stdout=file, stderr=file,
                start_new_session=True,
            )  # fmt: skip

    def end(self, number: signal.Signals = signal.SIGINT) -> tuple[int, float]:
        """The exit code, and how many seconds the end took."""
        began = time.monotonic()
        self.process.send_signal(number)
        return self.process.wait(100), time.monotonic() - began

    def running(self) -> list[str]:
        """The command lines of everything that it started, itself, and their children."""
        return [" ".join(process.cmdline()) for process in processes_with("SPINNERET_DATA", str(self.data))]

    def worker_pid(self, pool: str) -> int:
        """Of deployments/worker.py."""
        pids = [
            process.pid
            for process in processes_with("SPINNERET_DATA", str(self.data))
            if process.cmdline()[1:4] == ["-u", "-m", "deployments.worker"] and pool in process.cmdline()
        ]
        assert len(pids) == 1, pids
        return int(pids[0])


@pytest.fixture(scope="session")
def webhook() -> Iterator[Webhook]:
    receiver = Webhook()
    yield receiver
    receiver.close()


@pytest.fixture(scope="session")
def up(session_home: None, tmp_path_factory: pytest.TempPathFactory, webhook: Webhook) -> Iterator[Up]:
    """The installation; whatever a test does, nothing of it is left at the end.

    It has PostgreSQL where that is installed: with SQLite the server loses events, and a worker a run, when tests keep
    both cores busy. The last test of test_up.py starts one with SQLite.
    """
    with ExitStack() as until_the_end:
        database = {}
        if find_postgres() is not None:
            server = until_the_end.enter_context(postgres())
            server.run("createdb", "prefect")
            database = {DATABASE: f"{server.url}/prefect"}
        one = Up(tmp_path_factory.mktemp("up"), webhook, database)
        yield one
        one.process.kill()
        one.process.wait()
        assert comes(lambda: not one.running(), 100), one.running()


@pytest.fixture(scope="session")
def endless(up: Up) -> str:
    """A run of `train/train` whose training goes on until it is ended; it has a checkpoint of its own already."""
    began = time.time()
    run = up.api.trigger("train/train", endless_training())
    up.api.wait_for_words("training: step 0 of 1,000,000")
    assert comes(lambda: last_checkpoint(up.data, began), 60)
    return run


@pytest.fixture
def resumed(up: Up) -> int:
    """How often a training has gone on from a checkpoint before this test."""
    return up.api.count(RESUMED)
