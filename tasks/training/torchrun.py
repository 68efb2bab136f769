"""Distributed training: runs a job in several processes through torchrun, on this machine and on others.

torchrun ends all processes if one fails. It is a guarded child, so none of them outlives this process, even after kill
-9. Other machines join where torchrun's own environment variables (PET_NNODES, PET_RDZV_BACKEND, PET_RDZV_ENDPOINT) are
set: each of them runs torchrun on the same job file, in a shared data folder. See deployments/README.md.
"""

import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tasks import errors
from tasks.errors import InputError
from tasks.guarded_process import GuardedChild
from tasks.settings import ROOT, settings
from tasks.stage.folders import Facts, ensure_folder, write_whole
from tasks.training.job import ERROR, EVENTS, FACTS, Job

if TYPE_CHECKING:
    from tasks.modeling.finetuning import Progress

GRACE_S = 25.0
"""How long the processes may take to save a checkpoint when the training is stopped; Prefect gives a run 30 s."""
_LOG = "torchrun.log"
_POLL_S = 0.2


def train_distributed(
    job: Job, folder: Path, *, local_processes: int, on_progress: Callable[["Progress"], None]
) -> Facts:
    """Run `job` in `local_processes` processes on this machine, and those of other machines; it fills `folder`.

    Raises:
        SpinneretError: as raised by a process; InputError also if one was killed because memory ran out.
        RuntimeError: a process failed otherwise; its output is in the log.
    """
    with _job_folder(job) as job_folder:
        path = job_folder / "job.json"
        write_whole(path, json.dumps({"job": job.model_dump(mode="json"), "folder": str(folder)}))
        command, environment = _command(path, local_processes), _environment(local_processes)
        with closing(GuardedChild.start(command, environment, job_folder / _LOG, grace_s=GRACE_S)) as child:
            status = _follow(child, job_folder, on_progress)
        if status:
            raise _failure(job_folder, status)
        facts: Facts = json.loads((job_folder / FACTS).read_text(encoding="utf-8"))
        return facts


@contextmanager
def _job_folder(job: Job) -> Iterator[Path]:
    """Create `data/jobs/<key>/`, where other machines look for the job, and remove it at the end."""
    folder = settings().data / "jobs" / job.key
    shutil.rmtree(folder, ignore_errors=True)
    ensure_folder(folder)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _command(path: Path, local_processes: int) -> list[str]:
    standalone = [] if "PET_RDZV_ENDPOINT" in os.environ else ["--standalone"]  # without a rendezvous: one machine
    torchrun = [sys.executable, "-m", "torch.distributed.run", *standalone, f"--nproc-per-node={local_processes}"]
    return [*torchrun, "-m", "tasks.training.job", str(path)]


def _environment(local_processes: int) -> dict[str, str]:
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // local_processes)),
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
        "SPINNERET_DATA": str(settings().data),
    }
    if "PET_RDZV_ENDPOINT" not in os.environ:
        environment["GLOO_SOCKET_IFNAME"] = "lo0" if sys.platform == "darwin" else "lo"  # no other machine takes part
    return environment


def _follow(child: GuardedChild, job_folder: Path, on_progress: Callable[["Progress"], None]) -> int:
    """Report progress and log the output until the processes have ended; return the exit code."""
    from tasks.modeling.finetuning import Progress

    output, events = _Tail(job_folder / _LOG), _Tail(job_folder / EVENTS)
    while True:
        status = child.poll()
        if not (job_folder / ERROR).exists():  # after an error torchrun only adds that a process failed
            for line in output.lines():
                print(f"training: {line}")
        for line in events.lines():
            on_progress(Progress(**json.loads(line)))
        if status is not None:
            return status
        time.sleep(_POLL_S)


def _failure(job_folder: Path, status: int) -> Exception:
    if (job_folder / ERROR).exists():
        error = json.loads((job_folder / ERROR).read_text(encoding="utf-8"))
        kind: type[Exception] = getattr(errors, error["kind"])
        return kind(error["message"])
    # torchrun exits with 1 whatever happened; only its log says that a process was killed.
    if "SIGKILL" in (job_folder / _LOG).read_text(encoding="utf-8", errors="replace"):
        return InputError(
            "A process of the training was killed, most likely because the machine's memory ran out: lower "
            "--training.num-processes or --training.batch-size, or set --training.gradient-checkpointing; the last "
            "checkpoint is kept."
        )
    return RuntimeError(f"torchrun failed with exit code {status}; see the lines above")


class _Tail:
    """Reads the lines that were added to a file since the last call."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read = 0

    def lines(self) -> list[str]:
        """The new complete lines."""
        if not self._path.exists():
            return []
        with self._path.open("rb") as file:
            file.seek(self._read)
            complete, end, _ = file.read().rpartition(b"\n")
        self._read += len(complete) + len(end)
        return complete.decode(errors="replace").splitlines()
