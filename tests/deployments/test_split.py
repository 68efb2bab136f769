"""train/split: the parent runs on one worker, the fine-tuning on another; they share only the object store."""

import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from deployments.run_processes import is_alive
from tasks.guarded_process import GuardedChild
from tasks.storage.embedded_server import Endpoint, embedded_store
from tests.deployments.api import Api
from tests.deployments.installation import RESUMED, TINY
from tests.deployments.processes import engine_of, processes_of
from tests.factories.waiting import wait_until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(400),
    pytest.mark.skipif(sys.platform != "linux", reason="processes are found in /proc"),
]
STORE = {**TINY, "release": {"destination": "s3://releases", "name": "tiny"}}
ENDED_BY_CANCEL = {"Cancelled", "Crashed"}
"""The run reports the signal that ended it, its worker reports the cancellation, and the later report counts."""
LONG = {"max_steps": 1_000_000, "save_steps": 20}


@dataclass(frozen=True)
class Machine:
    """A worker with a home and a data folder of its own."""

    folder: Path
    worker: GuardedChild

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def stages(self) -> set[str]:
        """The stages that have a complete folder on this machine."""
        return {path.parent.parent.name for path in self.data.glob("*/*/manifest.json")}

    @property
    def log(self) -> str:
        return (self.folder / "worker.log").read_text(errors="replace")


@dataclass(frozen=True)
class Installation:
    """A server, a worker for each pool, and an object store that both can access."""

    api: Api
    cpu: Machine
    gpu: Machine
    store: Path

    def children(self) -> list[str]:
        """The runs of finetune/finetune, the newest first."""
        found = self.api.request("POST", "/flow_runs/filter", json={"deployments": {"name": {"any_": ["finetune"]}}})
        return [str(run["id"]) for run in sorted(found, key=lambda run: run["created"], reverse=True)]

    def run(self, **groups: Any) -> str:
        return self.api.trigger("train/split", {**STORE, **groups})

    def wait_for_end(self, run: str) -> None:
        final = {"Completed", "Failed", "Crashed", "Cancelled"}
        assert wait_until(lambda: self.api.state(run) in final, 180), self.api.states(run)

    def ends(self, run: str, name: str) -> str:
        """Wait for the end of a run and check its state; returns the message of the state."""
        self.wait_for_end(run)
        found = self.api.request("GET", f"/flow_runs/{run}")["state"]
        assert found["name"] == name, f"{found}\n{self.cpu.log}\n{self.gpu.log}"
        return str(found["message"])


@pytest.fixture(scope="module")
def split(deployed: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    folder, store = tmp_path_factory.mktemp("split"), tmp_path_factory.mktemp("split-store")
    with embedded_store(store) as endpoint:
        cpu, gpu = (_start(pool, deployed, endpoint, folder / pool) for pool in ("cpu", "gpu"))
        yield Installation(Api(deployed["PREFECT_API_URL"].removesuffix("/api")), cpu, gpu, store / "releases")
        for machine in (cpu, gpu):
            machine.worker.close()


def _start(pool: str, environment: dict[str, str], endpoint: Endpoint, folder: Path) -> Machine:
    folder.mkdir()
    own = {
        **environment,
        "HOME": str(folder),
        "SPINNERET_DATA": str(folder / "data"),
        "PREFECT_RESULTS_LOCAL_STORAGE_PATH": str(folder / "results"),
        "AWS_ENDPOINT_URL_S3": endpoint.url,
        "AWS_ACCESS_KEY_ID": endpoint.access_key_id,
        "AWS_SECRET_ACCESS_KEY": endpoint.secret_access_key,
    }
    command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", pool]
    return Machine(folder, GuardedChild.start(command, own, folder / "worker.log"))


def test_the_gpu_worker_only_fine_tunes_and_the_other_one_does_the_rest(split: Installation) -> None:
    split.ends(split.run(), "Completed")
    assert split.gpu.stages == {"base", "tokens", "weights"}
    assert split.cpu.stages > {"corpus", "base", "tokens", "weights", "samples", "comparison"}
    assert (split.store / "tiny" / "aliases" / "latest.json").is_file()
    [child] = split.children()
    assert split.api.state(child) == "Completed"


def test_a_machine_without_a_data_folder_takes_the_weights_from_the_store(split: Installation) -> None:
    before = split.children()
    assert before
    shutil.rmtree(split.cpu.data)
    shutil.rmtree(split.cpu.folder / "results")
    split.ends(split.run(), "Completed")
    assert split.children() == before
    assert "weights: fetched from s3://releases/stages/weights/" in split.cpu.log


def test_force_trains_again_on_the_other_machine(split: Installation) -> None:
    before = split.children()
    split.ends(split.run(force=True), "Completed")
    assert len(split.children()) == len(before) + 1
    assert "weights: removed those of an earlier run; they are made again" in split.gpu.log


def test_the_parent_reports_an_error_of_the_other_machine(split: Installation) -> None:
    message = split.ends(split.run(training={"max_steps": 1, "fp16": True}), "Failed")
    child = split.api.request("GET", f"/flow_runs/{split.children()[0]}")
    assert child["state"]["name"] == "Failed"
    assert f"the run {child['name']} of finetune/finetune ended as Failed" in message
    assert "fp16" in message


def test_an_unknown_deployment_is_reported_in_one_sentence(split: Installation) -> None:
    message = split.ends(split.run(training={"max_steps": 2}, finetune_on="finetune/tpu"), "Failed")
    assert "there is no deployment 'finetune/tpu'; deploy deployments/prefect.yaml, or correct the name" in message


def test_a_crashed_fine_tuning_is_resumed_and_a_cancellation_of_the_parent_ends_it(split: Installation) -> None:
    """Crash, retry and cancellation, with one training that would run forever."""
    parent = split.run(training=LONG)
    child = _wait_for_a_checkpoint(split)
    engine_of(child).kill()
    split.wait_for_end(child)
    assert split.api.state(child) == "Crashed"
    assert wait_until(lambda: split.children()[0] != child, 60)
    assert wait_until(lambda: RESUMED in split.gpu.log, 60), split.gpu.log
    assert split.api.state(parent) == "Running"
    again = split.children()[0]
    processes, began = [*processes_of(again), *processes_of(parent)], time.monotonic()
    assert processes
    assert split.api.set_state(parent, "CANCELLING", "Cancelling") == "ACCEPT"
    assert wait_until(lambda: not any(map(is_alive, processes)), 40), processes
    assert time.monotonic() - began < 40
    split.ends(parent, "Cancelled")
    split.wait_for_end(again)
    assert split.api.state(again) in ENDED_BY_CANCEL


def test_a_retry_of_the_parent_waits_for_the_fine_tuning_that_is_running(split: Installation) -> None:
    parent = split.run(training={**LONG, "seed": 7})
    child = _wait_for_a_checkpoint(split)
    os.kill(engine_of(parent).pid, signal.SIGKILL)
    split.wait_for_end(parent)
    assert split.api.set_state(parent, "SCHEDULED", "AwaitingRetry") == "ACCEPT"
    assert wait_until(lambda: split.cpu.log.count("finetune: finetune/finetune runs as") >= 2, 60)
    split.api.wait_for_state(parent, "Running")
    time.sleep(5)
    assert split.children()[0] == child
    assert split.api.state(child) == "Running"
    assert split.api.set_state(parent, "CANCELLING", "Cancelling") == "ACCEPT"
    split.wait_for_end(child)
    assert split.api.state(child) in ENDED_BY_CANCEL


def _wait_for_a_checkpoint(split: Installation) -> str:
    """Wait until the newest run of finetune/finetune has saved a checkpoint, and return it."""
    known = set(split.gpu.data.glob("checkpoints/*/*/manifest.json"))
    assert wait_until(lambda: set(split.gpu.data.glob("checkpoints/*/*/manifest.json")) - known, 120), split.gpu.log
    return split.children()[0]
