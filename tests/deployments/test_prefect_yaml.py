"""The deployments of prefect.yaml; the slow test runs one with a real server and worker."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect import Flow
from prefect.flows import load_flow_from_entrypoint

from tasks.guarded_process import GuardedChild
from tasks.settings import ROOT
from tests.deployments.installation import TINY, run_prefect

FILE = ROOT / "deployments" / "prefect.yaml"
DEPLOYMENTS: list[dict[str, Any]] = yaml.safe_load(FILE.read_text(encoding="utf-8"))["deployments"]
PARAMETERS_OF_FINETUNE: dict[str, Any] = {
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
def test_the_flow_of_a_deployment_accepts_its_parameters(
    deployment: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    flow: Flow[..., Any] = load_flow_from_entrypoint(deployment["entrypoint"])
    required = PARAMETERS_OF_FINETUNE if flow.name == "finetune" else {}
    validated = flow.validate_parameters({**deployment["parameters"], **required})
    assert set(validated) <= set(flow.parameters.properties)


def test_the_deployments_that_people_run_first_are_on_the_first_page_of_the_ui() -> None:
    """The UI lists deployments by name, ten per page."""
    first_page = sorted(DEPLOYMENTS, key=lambda deployment: str(deployment["name"]))[:10]
    first = {deployment["name"] for deployment in first_page if "start-here" in deployment["tags"]}
    assert first == {"train", "prepare", "sample"}
    assert len({deployment["name"] for deployment in DEPLOYMENTS}) == len(DEPLOYMENTS)


def test_no_deployment_contains_a_path_of_this_machine() -> None:
    text = FILE.read_text(encoding="utf-8")
    assert str(ROOT) not in text
    assert "{{ $SPINNERET_ROOT }}" in text


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_train_on_the_gpu_pool_runs_when_it_is_triggered(deployed: dict[str, str], tmp_path: Path) -> None:
    environment = {**deployed, "SPINNERET_DATA": str(tmp_path / "data")}
    command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", "gpu", "--limit", "1"]
    worker = GuardedChild.start(command, environment, tmp_path / "worker.log")
    try:
        parameters = [
            argument for name, value in TINY.items() for argument in ("--param", f"{name}={json.dumps(value)}")
        ]
        output = run_prefect(environment, "deployment", "run", "train/train", *parameters, "--watch")
    finally:
        worker.close()
    assert "Completed" in output, (tmp_path / "worker.log").read_text()
    assert (tmp_path / "data" / "store" / "releases" / "spinneret" / "aliases" / "latest.json").is_file()
