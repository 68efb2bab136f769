"""Training job: everything that one process of a training has to know, and what it does with it.

What comes in: a job (references to tokens and base model, training parameters, where checkpoints are shared). What it
leaves: the fine-tuned model in a folder, and facts about the training. It goes on from the last complete checkpoint of
the same key, whoever saved it.

Run by torchrun (`python -m torch.distributed.run ... -m tasks.training.job JOB.json`), it is one of several processes:
the first one tells what happens in a file, since its words are mixed with the others' on standard output.
"""

import contextlib
import json
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from tasks.errors import SpinneretError
from tasks.parameters import SamplingParameters, TrainingParameters
from tasks.stage.contents import load_blocks
from tasks.stage.folders import Facts
from tasks.stage.references import ModelReference, TokenBlocks
from tasks.training.checkpoints import Checkpoint, Checkpoints

if TYPE_CHECKING:
    from tasks.modeling.blocks import Blocks
    from tasks.modeling.finetuning import Outcome, Progress
    from tasks.modeling.recipes import Recipe

EVENTS, FACTS, ERROR = "events.jsonl", "facts.json", "error.json"
"""Files beside a job: progress, what the training was, and the sentence that it ended with."""
_ORPHAN_CHECK_S = 1.0


class Job(BaseModel):
    """A training, as plain values that any process can read."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str
    tokens: TokenBlocks
    base: ModelReference
    training: TrainingParameters
    processes: int
    """On all machines together."""
    share_with: str | None = None
    """Object store that checkpoints are copied to."""
    watched: SamplingParameters | None = None
    """How the model writes at each measurement, for those who look on."""

    @property
    def recipe(self) -> "Recipe":
        """Batch size, learning rate and schedule; each process sees its share of the blocks."""
        from tasks.modeling.recipes import choose_recipe

        return choose_recipe(self.training, preset=self.base.preset, blocks=self.tokens.train_blocks // self.processes)

    def blocks(self) -> "tuple[Blocks, Blocks]":
        """To train on, and held out."""
        from tasks.modeling.blocks import Blocks

        train, held_out = load_blocks(self.tokens, "train"), load_blocks(self.tokens, "eval")
        return Blocks(train.ids, train.lengths), Blocks(held_out.ids, held_out.lengths)

    def checkpoints(self) -> Checkpoints:
        """Where the checkpoints of this training are."""
        from tasks.storage.mirror import Mirror

        mirror = Mirror(self.share_with, self.key) if self.share_with else None
        return Checkpoints(self.key, limit=self.training.save_total_limit, mirror=mirror)


def run_job(job: Job, folder: Path, *, tell: Callable[["Progress"], None] = lambda progress: None) -> Facts:
    """Train, save the model to `folder/model` and the history beside it, and return the facts."""
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
            on_progress=tell,
            watched=job.watched,
        )
    return _facts(outcome, folder)


def is_first() -> bool:
    """Whether this process speaks for all that train together."""
    return os.environ.get("RANK", "0") == "0"


def _newest(checkpoints: Checkpoints) -> Checkpoint | None:
    """The checkpoint to go on from; of several processes the first one looks, and makes it whole on this disk."""
    found = checkpoints.newest() if is_first() else None
    if "RANK" in os.environ:
        from tasks.modeling.distributed import agree

        step = agree(None if found is None else found.step)
        found = None if step is None else checkpoints.find(step)
    if found is not None and is_first():
        print(f"training: goes on from the checkpoint of step {found.step:,}")
    return found


def _facts(outcome: "Outcome", folder: Path) -> Facts:
    """The history as a file; the rest as facts."""
    facts: dict[str, Any] = {name: getattr(outcome, name) for name in outcome.__dataclass_fields__ if name != "history"}
    if is_first():
        (folder / "history.json").write_text(json.dumps(outcome.history, indent=1) + "\n", encoding="utf-8")
    return facts


def _work(path: Path) -> None:
    """What a process under torchrun does."""
    given = json.loads(path.read_text(encoding="utf-8"))
    job, folder = Job.model_validate(given["job"]), Path(given["folder"])
    with (path.parent / EVENTS).open("a", encoding="utf-8") as events:

        def tell(progress: "Progress") -> None:
            if is_first():
                print(json.dumps(vars(progress)), file=events, flush=True)

        facts = run_job(job, folder, tell=tell)
    if is_first():
        (path.parent / FACTS).write_text(json.dumps(facts), encoding="utf-8")


def _end_with_parent() -> None:
    """End this process when torchrun is gone: its workers have sessions of their own, so no signal would reach them."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_ORPHAN_CHECK_S)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def main(path: Path) -> None:
    """Run the job in `path`; an error for a person is left beside it."""
    _end_with_parent()
    try:
        _work(path)
    except SpinneretError as error:
        with contextlib.suppress(FileExistsError), (path.parent / ERROR).open("x", encoding="utf-8") as file:
            json.dump({"kind": type(error).__name__, "message": str(error)}, file)
        sys.exit(2)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
