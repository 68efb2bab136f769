"""A training as a job: the plain values that every process of a training reads, and the code that each of them runs.

torchrun starts several processes with `python -m tasks.training.job JOB.json`; the first one writes its progress to a
file, since the output of all processes is mixed on standard output.
"""

import contextlib
import json
import os
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from tasks.errors import SpinneretError
from tasks.modeling import set_thread_defaults
from tasks.parameters import SamplingParameters, TrainingParameters
from tasks.stage.contents import load_blocks
from tasks.stage.folders import Facts
from tasks.stage.references import ModelReference, TokenBlocks
from tasks.training.checkpoints import Checkpoint, Checkpoints

if TYPE_CHECKING:
    from tasks.modeling.blocks import Blocks
    from tasks.modeling.finetuning import Progress
    from tasks.modeling.recipes import Recipe

EVENTS, FACTS, ERROR = "events.jsonl", "facts.json", "error.json"
"""Files next to a job file: the progress, the facts of a completed training, and the error of a failed one."""
_PARENT_CHECK_S = 1.0


class Job(BaseModel):
    """A training as plain values, with references to its inputs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str
    tokens: TokenBlocks
    base: ModelReference
    training: TrainingParameters
    processes: int
    """On all machines."""
    share_with: str | None = None
    """The object store that checkpoints are copied to."""
    sampling: SamplingParameters | None = None
    """How samples are generated at each evaluation; None for no samples."""

    @property
    def recipe(self) -> "Recipe":
        """Batch size, learning rate and schedule; each process trains on its share of the blocks."""
        from tasks.modeling.recipes import choose_recipe

        return choose_recipe(self.training, preset=self.base.preset, blocks=self.tokens.train_blocks // self.processes)

    def blocks(self) -> "tuple[Blocks, Blocks]":
        """The blocks to train on, and the held-out blocks."""
        from tasks.modeling.blocks import Blocks

        train, held_out = load_blocks(self.tokens, "train"), load_blocks(self.tokens, "eval")
        return Blocks(train.ids, train.lengths), Blocks(held_out.ids, held_out.lengths)

    def checkpoints(self) -> Checkpoints:
        """The checkpoints of this training."""
        from tasks.storage.mirror import Mirror

        mirror = Mirror(self.share_with, self.key) if self.share_with else None
        return Checkpoints(self.key, limit=self.training.save_total_limit, mirror=mirror)


def run_job(job: Job, folder: Path, *, on_progress: Callable[["Progress"], None] = lambda progress: None) -> Facts:
    """Train from the last checkpoint, write the model and `history.json` to `folder`, and return the facts."""
    from tasks.modeling.devices import check_device
    from tasks.modeling.finetuning import finetune
    from tasks.modeling.happy import TunableGeneration

    check_device(job.training)
    train, held_out = job.blocks()
    generator = TunableGeneration(job.base.type, job.base.load_from, revision=job.base.revision)
    with job.checkpoints() as checkpoints:
        found = _newest(checkpoints)
        outcome = finetune(
            generator,
            train,
            held_out,
            folder / "model",
            training=job.training,
            recipe=job.recipe,
            checkpoints=checkpoints,
            resume_from=found.folder if found else None,
            on_progress=on_progress,
            sampling=job.sampling,
        )
    facts = asdict(outcome)
    history = facts.pop("history")
    if _is_first_process():
        (folder / "history.json").write_text(json.dumps(history, indent=1) + "\n", encoding="utf-8")
    return facts


def _is_first_process() -> bool:
    return os.environ.get("RANK", "0") == "0"


def _newest(checkpoints: Checkpoints) -> Checkpoint | None:
    """The checkpoint to resume from; in a distributed training the first process finds and fetches it."""
    found = checkpoints.newest() if _is_first_process() else None
    if "RANK" in os.environ:
        from tasks.modeling.distributed import broadcast_from_first

        step = broadcast_from_first(None if found is None else found.step)
        found = None if step is None else checkpoints.find(step)
    if found is not None and _is_first_process():
        print(f"training: resumes from the checkpoint of step {found.step:,}")
    return found


def _run(path: Path) -> None:
    """Run the job in the file `path` as one of torchrun's processes."""
    content = json.loads(path.read_text(encoding="utf-8"))
    with (path.parent / EVENTS).open("a", encoding="utf-8") as events:

        def write_event(progress: "Progress") -> None:
            if _is_first_process():
                print(json.dumps(asdict(progress)), file=events, flush=True)

        facts = run_job(Job.model_validate(content["job"]), Path(content["folder"]), on_progress=write_event)
    if _is_first_process():
        (path.parent / FACTS).write_text(json.dumps(facts), encoding="utf-8")


def _exit_with_parent() -> None:
    """Exit when torchrun is gone: its workers have sessions of their own, so no signal reaches them."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_PARENT_CHECK_S)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def main(path: Path) -> None:
    """Run the job in `path`; an error for the user is written next to it."""
    set_thread_defaults()  # on another machine no run of ours has started torchrun
    _exit_with_parent()
    try:
        _run(path)
    except SpinneretError as error:
        with contextlib.suppress(FileExistsError), (path.parent / ERROR).open("x", encoding="utf-8") as file:
            json.dump({"kind": type(error).__name__, "message": str(error)}, file)
        sys.exit(2)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
