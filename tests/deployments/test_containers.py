"""The files for containers and systemd, checked by tools that know the formats; no container or unit is started."""

import json
import re
import shutil
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from prefect.client.schemas.objects import FlowRun
from prefect.utilities.templating import apply_values
from prefect_docker.worker import DockerWorker, DockerWorkerJobConfiguration
from prefect_kubernetes.worker import KubernetesWorker, KubernetesWorkerJobConfiguration

from deployments.job_template import job_template
from tasks.settings import ROOT, settings
from tasks.training.provenance import provenance

FOLDER = ROOT / "deployments"
TOOLS = Path(sys.executable).parent
POOLS: dict[str, tuple[Any, Any]] = {
    "docker": (DockerWorker, DockerWorkerJobConfiguration),
    "kubernetes": (KubernetesWorker, KubernetesWorkerJobConfiguration),
}
SECRETS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "HF_TOKEN", "PREFECT_API_AUTH_STRING")


def configured(pool: str, **values: Any) -> Any:
    """The job configuration that a worker of the pool makes from the template, as Prefect does it."""
    template = job_template(pool)
    defaults = {
        name: schema["default"]
        for name, schema in template["variables"]["properties"].items()
        if schema.get("default") is not None
    }
    return POOLS[pool][1](**apply_values(template["job_configuration"], {**defaults, **values}, remove_notset=True))


def run_tool(name: str, *arguments: object) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([TOOLS / name, *map(str, arguments)], capture_output=True, text=True, check=False, timeout=60)


def test_hadolint_finds_nothing_in_the_dockerfile() -> None:
    done = run_tool("hadolint", FOLDER / "Dockerfile")
    assert (done.returncode, done.stdout) == (0, "")


def test_every_file_that_the_dockerfile_copies_exists_and_is_in_the_build_context() -> None:
    lines = (FOLDER / "Dockerfile").read_text().splitlines()
    copied = [
        word for line in lines if line.startswith("COPY ") and "--from" not in line for word in line.split()[1:-1]
    ]
    context = {
        line.removeprefix("!") for line in (FOLDER / "Dockerfile.dockerignore").read_text().splitlines() if "!" in line
    }
    assert len(copied) > 5
    assert set(copied) == context
    assert all((ROOT / word).exists() for word in copied)


def test_the_image_runs_as_an_unprivileged_user_and_holds_no_secret() -> None:
    text = (FOLDER / "Dockerfile").read_text()
    assert "\nUSER 1000\n" in text
    assert not [secret for secret in SECRETS if secret in text]


def test_an_image_states_the_commit_that_it_was_built_from(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tasks.training.provenance.ROOT", tmp_path)
    monkeypatch.setenv("SPINNERET_COMMIT", "c0ffee")
    settings.cache_clear()
    assert provenance()["git_commit"] == "c0ffee"
    monkeypatch.setenv("SPINNERET_COMMIT", "")
    settings.cache_clear()
    assert provenance()["git_commit"] is None


def test_the_compose_file_matches_the_compose_schema() -> None:
    done = run_tool("check-jsonschema", "--builtin-schema", "vendor.compose-spec", FOLDER / "compose.yaml")
    assert done.returncode == 0, done.stdout


def test_every_variable_of_the_compose_file_is_in_the_example() -> None:
    text = (FOLDER / "compose.yaml").read_text()
    named = {part.split("}")[0].split(":")[0] for part in text.split("${")[1:]} - {"SPINNERET_IMAGE"}
    example = (FOLDER / "compose.env.example").read_text().splitlines()
    assert named == {line.partition("=")[0] for line in example if line and not line.startswith("#")}


@pytest.mark.parametrize("pool", POOLS)
def test_a_template_has_every_variable_and_setting_of_prefects_own(pool: str) -> None:
    here, default = job_template(pool), POOLS[pool][0].get_default_base_job_template()
    assert set(here["variables"]["properties"]) >= set(default["variables"]["properties"])
    assert set(here["job_configuration"]) == set(default["job_configuration"])


def test_every_variable_that_prefects_kubernetes_manifest_uses_is_used_in_ours() -> None:
    """The manifest replaces Prefect's, so it must follow it when Prefect is upgraded."""
    here, default = job_template("kubernetes"), KubernetesWorker.get_default_base_job_template()
    used, wanted = (
        set(re.findall(r"{{ \w+ }}", json.dumps(template["job_configuration"]["job_manifest"])))
        for template in (here, default)
    )
    assert used > wanted


@pytest.mark.parametrize("pool", POOLS)
def test_a_template_has_no_secret_in_its_environment(pool: str) -> None:
    properties = job_template(pool)["variables"]["properties"]
    assert not set(SECRETS) & set(properties["env"].get("default") or {})


@pytest.mark.parametrize("gpus", [0, 1, 8])
def test_the_job_of_the_kubernetes_pool_is_valid(gpus: int) -> None:
    job = configured("kubernetes", gpus=gpus, cpu_request="4", memory_limit="32Gi")
    job.prepare_for_flow_run(FlowRun(id=uuid.uuid4(), flow_id=uuid.uuid4(), name="some-run"))
    manifest = job.job_manifest
    kubernetes_validate.validate(manifest, "1.32", strict=True)
    spec = manifest["spec"]["template"]["spec"]
    [container] = spec["containers"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == gpus
    assert container["envFrom"] == [{"secretRef": {"name": "spinneret-credentials"}}]
    assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in spec["volumes"]}
    assert spec["securityContext"]["runAsNonRoot"] is True


def test_the_job_of_the_docker_pool_gets_the_gpus_and_the_data_folder() -> None:
    job = configured("docker")
    job.prepare_for_flow_run(FlowRun(id=uuid.uuid4(), flow_id=uuid.uuid4(), name="some-run"))
    assert job.image == "spinneret:cuda"
    assert "spinneret-data:/data" in job.volumes
    assert job.container_create_kwargs["device_requests"] == [{"count": -1, "capabilities": [["gpu"]]}]


@pytest.mark.parametrize("unit", sorted((FOLDER / "systemd").iterdir()), ids=lambda path: path.name)
@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is needed: apt-get install systemd")
def test_systemd_accepts_the_units(unit: Path, tmp_path: Path) -> None:
    python = str(Path(sys.executable).parent.parent)
    text = unit.read_text().replace("/srv/spinneret/.venv", python).replace("/srv/spinneret", str(ROOT))
    (tmp_path / unit.name).write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", tmp_path / unit.name], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_a_unit_gives_a_training_time_for_a_checkpoint_and_holds_no_secret() -> None:
    worker = (FOLDER / "systemd" / "spinneret-worker@.service").read_text()
    assert "\nKillMode=mixed\nTimeoutStopSec=120\n" in worker
    for unit in (FOLDER / "systemd").iterdir():
        assert not [line for line in unit.read_text().splitlines() if line.startswith("Environment") and "KEY" in line]


def test_the_yaml_files_can_be_parsed() -> None:
    for path in FOLDER.rglob("*"):
        if path.suffix == ".yaml":
            assert yaml.safe_load(path.read_text())
