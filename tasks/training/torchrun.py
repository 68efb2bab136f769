"""Torchrun: several processes that train together, on this machine and on others.

What comes in: a job and how many processes work on this machine. What it leaves: what the job leaves, its progress as
it happens, and the processes' words in our log. torchrun starts them, and ends all when one fails; it is a guarded
child, so nothing of it outlives us, also after kill -9.

Other machines join where torchrun's own environment variables say so (PET_NNODES, PET_RDZV_BACKEND, PET_RDZV_ENDPOINT):
each of them runs torchrun on the same job file, in a data folder that all share. See deployments/README.md.
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
from tasks.stage.folders import Facts, make_place
from tasks.training.job import ERROR, EVENTS, FACTS, Job

if TYPE_CHECKING:
    from tasks.modeling.finetuning import Progress

GRACE_S = 25.0
"""How long the processes may take to save a checkpoint when the training is ended: Prefect gives a run 30 s."""
_LOG = "torchrun.log"
_LOOK_S = 0.2


def train_distributed(job: Job, folder: Path, *, here: int, tell: Callable[["Progress"], None]) -> Facts:
    """Run `job` in `here` processes on this machine (and with those that join); what it leaves is in `folder`.

    Raises:
        SpinneretError: what a process ended with; InputError too where one was killed for memory.
        RuntimeError: a process ended otherwise; its words are in the log.
    """
    with _job_folder(job) as place:
        path = place / "job.json"
        path.write_text(json.dumps({"job": job.model_dump(mode="json"), "folder": str(folder)}), encoding="utf-8")
        child = GuardedChild.start(_command(path, here), _environment(here), place / _LOG, grace_s=GRACE_S)
        with closing(child):
            status = _follow(child, place, tell)
        if status:
            raise _failure(place, status)
        facts: Facts = json.loads((place / FACTS).read_text(encoding="utf-8"))
        return facts


@contextmanager
def _job_folder(job: Job) -> Iterator[Path]:
    """`data/jobs/<key>/`: other machines know where to find it."""
    place = settings().data / "jobs" / job.key
    shutil.rmtree(place, ignore_errors=True)
    make_place(place)
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _command(path: Path, here: int) -> list[str]:
    """Left to itself, torchrun meets on this machine; where it is told of a rendezvous, it waits there."""
    alone = [] if "PET_RDZV_ENDPOINT" in os.environ else ["--standalone"]
    torchrun = [sys.executable, "-m", "torch.distributed.run", *alone, f"--nproc-per-node={here}"]
    return [*torchrun, "-m", "tasks.training.job", str(path)]


def _environment(here: int) -> dict[str, str]:
    threads = max(1, (os.cpu_count() or 1) // here)
    ours = {
        "OMP_NUM_THREADS": str(threads),
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
    }
    if "PET_RDZV_ENDPOINT" not in os.environ:
        ours["GLOO_SOCKET_IFNAME"] = "lo0" if sys.platform == "darwin" else "lo"  # nobody else is to be spoken to
    return {**os.environ, **ours, "SPINNERET_DATA": str(settings().data)}


def _follow(child: GuardedChild, place: Path, tell: Callable[["Progress"], None]) -> int:
    """Pass on progress and words until the processes have ended; their exit status."""
    from tasks.modeling.finetuning import Progress

    words, events = _Tail(place / _LOG), _Tail(place / EVENTS)
    while True:
        status = child.poll()
        if not (place / ERROR).exists():  # from then on torchrun tells at length that a process ended
            for line in words.lines():
                print(f"training: {line}")
        for line in events.lines():
            tell(Progress(**json.loads(line)))
        if status is not None:
            return status
        time.sleep(_LOOK_S)


def _failure(place: Path, status: int) -> Exception:
    if (place / ERROR).exists():
        told = json.loads((place / ERROR).read_text(encoding="utf-8"))
        kind: type[Exception] = getattr(errors, told["kind"])
        return kind(told["message"])
    if "SIGKILL" in (place / _LOG).read_text(encoding="utf-8", errors="replace"):
        return InputError(
            "A process of the training was killed, most likely because the machine's memory ran out: lower "
            "--training.num-processes or --training.batch-size, or set --training.gradient-checkpointing; the last "
            "checkpoint is kept."
        )
    return RuntimeError(f"torchrun ended with exit code {status}; why stands in the lines above")


class _Tail:
    """The lines that were added to a file since the last look."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read = 0

    def lines(self) -> list[str]:
        """The new whole lines."""
        if not self._path.exists():
            return []
        with self._path.open("rb") as file:
            file.seek(self._read)
            whole, end, _ = file.read().rpartition(b"\n")
        self._read += len(whole) + len(end)
        return whole.decode(errors="replace").splitlines()
