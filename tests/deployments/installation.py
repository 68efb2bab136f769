"""Prefect servers, workers and deployments of tests, and the parameters of their runs."""

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from prefect.settings import PREFECT_API_URL, temporary_settings

from deployments import automations
from tasks.guarded_process import GuardedChild
from tasks.settings import ROOT
from tests.deployments.api import Api, eventually

TINY: dict[str, dict[str, Any]] = {
    "corpus": {"template": "{a|b|c} {d|e} {f|g|h}"},
    "training": {"max_steps": 1},
    "sampling": {"num_samples": 1, "max_length": 4},
}
RESUMED = "training: resumes from the checkpoint of step"
MARK_DEAD, RUN_AGAIN = "spinneret: a dead run is marked Crashed", "spinneret: a crashed run is run again"


def endless_training(steps: int = 1_000_000) -> dict[str, dict[str, Any]]:
    """Parameters of a training that runs until it is ended; each number of steps has checkpoints of its own."""
    return {**TINY, "training": {"max_steps": steps, "save_steps": 100}}


def last_checkpoint(data: Path, since: float = 0) -> int:
    """The step of the checkpoint that was written last; 0 where there is none, or none since that time."""
    found = (data / "checkpoints").glob(f"*/step-{'[0-9]' * 10}/manifest.json")
    written = []
    for path in found:
        with contextlib.suppress(FileNotFoundError):  # a newer one has just replaced it
            written.append((path.stat().st_mtime, int(path.parent.name.removeprefix("step-"))))
    when, step = max(written, default=(0.0, 0))
    return step if when > since else 0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start_server(port: int, environment: dict[str, str], log: Path) -> GuardedChild:
    """A Prefect server on loopback that answers."""
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    server = GuardedChild.start(command, environment, log)
    if not eventually(Api(f"http://127.0.0.1:{port}").answers, 180):
        server.close()
        raise AssertionError(log.read_text())
    return server


def client_environment(folder: Path, address: str) -> dict[str, str]:
    """The environment of the clients and workers of a server, with a home and a data folder of their own.

    Trainings use one core, so that servers and workers have another one.
    """
    return {
        **os.environ,
        "HOME": str(folder),
        "SPINNERET_DATA": str(folder / "data"),
        "SPINNERET_ROOT": str(ROOT),
        "PREFECT_API_URL": f"{address}/api",
        "PREFECT_WORKER_QUERY_SECONDS": "1",
        "OMP_NUM_THREADS": "1",
    }


@contextmanager
def deployed_server(folder: Path) -> Iterator[dict[str, str]]:
    """A server with everything that the commands of deployments/README.md create; the environment of its clients."""
    port = free_port()
    environment = client_environment(folder, f"http://127.0.0.1:{port}")
    server = start_server(port, environment, folder / "server.log")
    with contextlib.closing(server):
        run_prefect(environment, "work-pool", "create", "gpu", "--type", "process")
        run_prefect(environment, "work-pool", "set-concurrency-limit", "gpu", "1")
        run_prefect(environment, "work-pool", "create", "cpu", "--type", "process")
        run_prefect(environment, "--no-prompt", "deploy", "--prefect-file", "deployments/prefect.yaml", "--all")
        Api(f"http://127.0.0.1:{port}").pause("train/nightly")
        yield environment


def run_prefect(environment: dict[str, str], *arguments: str) -> str:
    """Run Prefect's command line from the root of the checkout and return its output."""
    done = subprocess.run(
        [sys.executable, "-m", "prefect", *arguments],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def apply_automations(api: Api, webhook_url: str | None = None, **within: float) -> None:
    """Create or update the automations, with other waiting times for `mark_dead` and `run_again`."""
    template = automations.read_template()
    names = {"mark_dead": MARK_DEAD, "run_again": RUN_AGAIN}
    for key, seconds in within.items():
        [entry] = [entry for entry in template if entry["name"] == names[key]]
        entry["trigger"]["within"] = seconds
    with temporary_settings({PREFECT_API_URL: f"{api.address}/api"}):
        automations.apply(template, webhook_url)
