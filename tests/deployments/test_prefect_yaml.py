"""Every deployment in prefect.yaml can be deployed and run; the slow test does it with a real server and worker."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from prefect import Flow
from prefect.flows import load_flow_from_entrypoint

from flows.cli.local_server import _free_port
from tasks.guarded_process import GuardedChild
from tasks.settings import ROOT

FILE = ROOT / "deployments" / "prefect.yaml"
DEPLOYMENTS: list[dict[str, Any]] = yaml.safe_load(FILE.read_text(encoding="utf-8"))["deployments"]
TINY = {
    "corpus": {"template": "{a|b|c} {d|e} {f|g|h}"},
    "training": {"max_steps": 1},
    "sampling": {"num_samples": 1, "max_length": 4},
}

GIVEN_BY_THE_PARENT: dict[str, Any] = {
    "tokens": {
        "key": "a" * 64, "sha256": "b" * 64, "block_size": 8, "train_blocks": 1, "eval_blocks": 1, "train_tokens": 8,
        "eval_tokens": 8,
    },
    "base": {"name": "scratch-tiny", "type": "GPT-NEO", "sha256": "c" * 64},
}  # fmt: skip


@pytest.mark.parametrize(
    "deployment",
    DEPLOYMENTS,
    ids=lambda deployment: f"{deployment['entrypoint'].rpartition(':')[2]}/{deployment['name']}",
)
def test_a_deployments_parameters_pass_through_its_flow(
    deployment: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    flow: Flow[..., Any] = load_flow_from_entrypoint(deployment["entrypoint"])
    given = GIVEN_BY_THE_PARENT if flow.name == "finetune" else {}
    validated = flow.validate_parameters({**deployment["parameters"], **given})
    assert set(validated) <= set(flow.parameters.properties)


def test_no_deployment_names_a_path_of_a_machine() -> None:
    text = FILE.read_text(encoding="utf-8")
    assert str(ROOT) not in text
    assert "{{ $SPINNERET_ROOT }}" in text


@pytest.fixture
def server(tmp_path: Path) -> Iterator[dict[str, str]]:
    with running_server(tmp_path) as environment:
        yield environment


@contextmanager
def running_server(place: Path) -> Iterator[dict[str, str]]:
    """The environment of a real Prefect server on loopback, with a home and a data folder of its own."""
    port = _free_port()
    environment = {
        **os.environ,
        "HOME": str(place),
        "SPINNERET_DATA": str(place / "data"),
        "SPINNERET_ROOT": str(ROOT),
        "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
        "PREFECT_WORKER_QUERY_SECONDS": "2",
    }
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    child = GuardedChild.start(command, environment, place / "server.log")
    try:
        _wait_for(f"http://127.0.0.1:{port}/api/health")
        yield environment
    finally:
        child.close()


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_train_on_the_gpu_pool_runs_when_it_is_triggered(server: dict[str, str], tmp_path: Path) -> None:
    prefect(server, "work-pool", "create", "gpu", "--type", "process")
    prefect(server, "work-pool", "set-concurrency-limit", "gpu", "1")
    prefect(server, "work-pool", "create", "cpu", "--type", "process")
    prefect(server, "--no-prompt", "deploy", "--prefect-file", "deployments/prefect.yaml", "--all")
    command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", "gpu", "--limit", "1"]
    worker = GuardedChild.start(command, server, tmp_path / "worker.log")
    try:
        parameters = [word for name, value in TINY.items() for word in ("--param", f"{name}={json.dumps(value)}")]
        said = prefect(server, "deployment", "run", "train/train", *parameters, "--watch")
    finally:
        worker.close()
    assert "Completed" in said, (tmp_path / "worker.log").read_text()
    assert (tmp_path / "data" / "store" / "releases" / "spinneret" / "aliases" / "latest.json").is_file()


def prefect(environment: dict[str, str], *words: str) -> str:
    """Run Prefect's command line from the root of the checkout and return what it says."""
    done = subprocess.run(
        [sys.executable, "-m", "prefect", *words],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _wait_for(url: str) -> None:
    ends = time.monotonic() + 180
    while True:
        try:
            if httpx.get(url, timeout=5, trust_env=False).is_success:
                return
        except httpx.TransportError:
            assert time.monotonic() < ends, f"{url} did not answer"
            time.sleep(0.3)
