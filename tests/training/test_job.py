"""Training as a process: a killed training resumes with the same result, and several processes train like one."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from tasks.base_model import make_base_model_without_server
from tasks.corpus import make_corpus
from tasks.errors import InputError
from tasks.modeling.finetuning import Progress
from tasks.parameters import CorpusParameters, ModelParameters, TokenParameters, TrainingParameters
from tasks.settings import ROOT, settings
from tasks.stage.folders import Facts
from tasks.stage.references import ModelReference, TokenBlocks
from tasks.storage.mirror import Mirror
from tasks.tokens import make_tokens
from tasks.training.job import EVENTS, FACTS, Job, run_job
from tasks.training.torchrun import train_distributed
from tests.factories.train_runs import TEMPLATE
from tests.factories.waiting import wait_until

MARK = "SPINNERET_TEST_MARK"
OTHER = "--nproc-per-node 1 -m tasks.training.job"


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """As in the processes: another number of threads adds up in another order, so the last bits differ."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def prepared() -> tuple[TokenBlocks, ModelReference]:
    """Sixteen blocks of 32 to train on, and a model with random weights."""
    training = TrainingParameters()
    corpus = make_corpus.fn(CorpusParameters(template=TEMPLATE + " and so on and on", eval_fraction=0.2))
    base = make_base_model_without_server(corpus, ModelParameters(), training.seed)
    return make_tokens.fn(corpus, base, TokenParameters(block_size=32), training), base


@pytest.fixture
def job(prepared: tuple[TokenBlocks, ModelReference]) -> Callable[..., Job]:
    tokens, base = prepared

    def make(key: str = "a", *, processes: int = 1, share_with: str | None = None, **changed: Any) -> Job:
        values = {"max_steps": 12, "batch_size": 2, "save_steps": 2, "learning_rate": 1e-3, "bf16": False, **changed}
        training = TrainingParameters(**values)
        return Job(
            key=key * 64, tokens=tokens, base=base, training=training, processes=processes, share_with=share_with
        )

    return make


class Process:
    """One process that works on a job, as torchrun starts it."""

    def __init__(self, job: Job, folder: Path) -> None:
        folder.mkdir(parents=True)
        self.folder = folder
        (folder / "model").mkdir()
        path = folder / "job.json"
        path.write_text(json.dumps({"job": job.model_dump(mode="json"), "folder": str(folder)}))
        (folder / "model").rmdir()
        with (folder / "out").open("wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tasks.training.job", str(path)],
                cwd=ROOT, stdout=out, stderr=subprocess.STDOUT, env={**os.environ, "OMP_NUM_THREADS": "1"},
            )  # fmt: skip

    @property
    def output(self) -> str:
        return (self.folder / "out").read_text()

    def steps(self) -> int:
        """The last reported step."""
        events = self.folder / EVENTS
        lines = events.read_text().splitlines() if events.exists() else []
        return json.loads(lines[-1])["step"] if lines else 0

    def wait_for_step(self, step: int) -> None:
        assert wait_until(lambda: self.steps() >= step or self.process.poll() is not None, 120), self.output
        assert self.process.poll() is None, self.output


def weights(folder: Path) -> bytes:
    return (folder / "model" / "model.safetensors").read_bytes()


def run(job: Job, folder: Path) -> Facts:
    folder.mkdir()
    return run_job(job, folder)


def marked(mark: str) -> Iterator[Path]:
    """Every process whose environment has the mark."""
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                found = f"{MARK}={mark}".encode() in (folder / "environ").read_bytes().split(b"\0")
            except OSError:
                continue
            if found:
                yield folder


@pytest.mark.slow
@pytest.mark.parametrize(("number", "lost"), [(signal.SIGKILL, 2), (signal.SIGTERM, 0)])
def test_a_killed_process_loses_at_most_save_steps_and_the_resumed_training_gives_the_same_weights(
    job: Callable[..., Job], tmp_path: Path, number: int, lost: int
) -> None:
    undisturbed = run(job("u"), tmp_path / "undisturbed")
    killed = Process(job(), tmp_path / "killed")
    killed.wait_for_step(5)
    os.kill(killed.process.pid, number)
    assert killed.process.wait(30) == -number
    reached = killed.steps()
    checkpoint = job().checkpoints().newest()
    assert checkpoint is not None
    assert reached - lost <= checkpoint.step <= reached
    assert not (tmp_path / "killed" / FACTS).exists()
    again = Process(job(), tmp_path / "again")
    assert again.process.wait(120) == 0, again.output
    assert f"resumes from the checkpoint of step {checkpoint.step}" in again.output
    assert weights(tmp_path / "again") == weights(tmp_path / "undisturbed")
    assert json.loads((tmp_path / "again" / FACTS).read_text())["loss_after"] == undisturbed["loss_after"]


@pytest.mark.slow
def test_another_machine_resumes_from_shared_checkpoints(
    job: Callable[..., Job], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class InterruptedTrainingError(Exception):
        pass

    def interrupt(progress: Progress) -> None:
        if progress.step == 5:
            raise InterruptedTrainingError

    shared = job(share_with=str(tmp_path / "store"), load_best_model_at_end=True, eval_steps=2)
    (tmp_path / "first").mkdir()
    with pytest.raises(InterruptedTrainingError):
        run_job(shared, tmp_path / "first", on_progress=interrupt)
    assert Mirror(str(tmp_path / "store"), shared.key).steps() == [4, 2]
    undisturbed = run(job("u", load_best_model_at_end=True, eval_steps=2), tmp_path / "undisturbed")
    (settings().data / "checkpoints").rename(tmp_path / "the other machine does not have them")
    facts = run(shared, tmp_path / "again")
    assert "resumes from the checkpoint of step 4" in capsys.readouterr().out
    assert weights(tmp_path / "again") == weights(tmp_path / "undisturbed")
    assert facts["loss_after"] == undisturbed["loss_after"]


@pytest.mark.slow
def test_two_processes_train_like_one_with_twice_the_batch(job: Callable[..., Job], tmp_path: Path) -> None:
    reported: list[Progress] = []
    folder = tmp_path / "two"
    folder.mkdir()
    two = train_distributed(job("t", processes=2, batch_size=1), folder, local_processes=2, on_progress=reported.append)
    one = run(job("o", batch_size=2), tmp_path / "one")
    assert two["loss_after"] == pytest.approx(one["loss_after"], rel=1e-4)
    assert (two["steps"], one["steps"]) == (12, 12)
    losses = [
        [entry["loss"] for entry in json.loads((tmp_path / name / "history.json").read_text()) if "loss" in entry]
        for name in ("one", "two")
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    assert sorted({one.step for one in reported}) == list(range(13))
    assert not (settings().data / "jobs" / ("t" * 64)).exists()


@pytest.mark.slow
def test_two_stopped_processes_resume_and_give_the_same_weights(job: Callable[..., Job], tmp_path: Path) -> None:
    class StoppedError(BaseException):
        pass

    def stop(progress: Progress) -> None:
        if progress.step >= 3:
            raise StoppedError

    for name in ("undisturbed", "stopped", "again"):
        (tmp_path / name).mkdir()
    many = {"processes": 2, "batch_size": 1, "max_steps": 40}
    train_distributed(job("u", **many), tmp_path / "undisturbed", local_processes=2, on_progress=lambda _: None)
    with pytest.raises(StoppedError):
        train_distributed(job("s", **many), tmp_path / "stopped", local_processes=2, on_progress=stop)
    newest = job("s", **many).checkpoints().newest()
    assert newest is not None
    assert 3 <= newest.step < 40
    assert {"rng_state_0.pth", "rng_state_1.pth"} <= {path.name for path in newest.folder.iterdir()}
    train_distributed(job("s", **many), tmp_path / "again", local_processes=2, on_progress=lambda _: None)
    assert weights(tmp_path / "again") == weights(tmp_path / "undisturbed")


@pytest.mark.slow
def test_two_machines_train_together_through_a_rendezvous(
    job: Callable[..., Job], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        meeting = {"PET_NNODES": "2", "PET_RDZV_BACKEND": "c10d", "PET_LOCAL_ADDR": "127.0.0.1"}
        meeting["PET_RDZV_ENDPOINT"] = f"127.0.0.1:{probe.getsockname()[1]}"
    for name, value in {**meeting, "GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}.items():
        monkeypatch.setenv(name, value)
    both = job("b", processes=2, batch_size=1)
    path = settings().data / "jobs" / both.key / "job.json"
    join = f"while [ ! -s {path} ]; do sleep 0.1; done; exec {sys.executable} -m torch.distributed.run {OTHER} {path}"
    other = subprocess.Popen(["/bin/sh", "-c", join], cwd=ROOT, env=dict(os.environ))
    (tmp_path / "two").mkdir()
    two = train_distributed(both, tmp_path / "two", local_processes=1, on_progress=lambda _: None)
    assert other.wait(60) == 0
    one = run(job("o", batch_size=2), tmp_path / "one")
    assert two["loss_after"] == pytest.approx(one["loss_after"], rel=1e-4)


PARENT = """
import json, sys
from pathlib import Path
from tasks.training.torchrun import train_distributed
from tasks.training.job import Job
job, folder = Job.model_validate_json(sys.argv[1]), Path(sys.argv[2])
train_distributed(job, folder, local_processes=2, on_progress=lambda progress: print(progress.step, flush=True))
"""


@pytest.mark.slow
def test_no_process_outlives_a_killed_run(job: Callable[..., Job], tmp_path: Path) -> None:
    many = job(processes=2, max_steps=10**6)
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, many.model_dump_json(), str(tmp_path)],
        cwd=ROOT, stdout=subprocess.PIPE, env={**os.environ, MARK: str(tmp_path)},
    )  # fmt: skip
    assert parent.stdout is not None
    while int(parent.stdout.readline()) < 3:
        pass
    assert len(list(marked(str(tmp_path)))) >= 4, "the run, torchrun and two processes"
    parent.kill()
    parent.wait()
    assert wait_until(lambda: not list(marked(str(tmp_path))), 40)
    parent.stdout.close()


@pytest.mark.slow
def test_an_input_error_of_a_process_is_raised_by_the_run(
    job: Callable[..., Job], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wild = {"learning_rate": 1.0, "max_grad_norm": 1e30, "weight_decay": 1e4, "max_steps": 100}
    with pytest.raises(InputError, match=r"The training loss became .* lower --training\.learning-rate"):
        train_distributed(job(processes=2, **wild), tmp_path, local_processes=2, on_progress=lambda _: None)
    assert "Traceback" not in capsys.readouterr().out
