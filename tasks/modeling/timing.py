"""Timing: how long a step really takes, from a few steps of the training itself.

What comes in: what `finetune` takes. What it leaves: seconds of the first step, of a step, and of a held-out block. The
steps are those of the real training (same trainer, precision, accumulation, compiling), on real blocks; the training is
left before it would save anything, and the weights are thrown away.
"""

import contextlib
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from tasks.modeling.blocks import Blocks
from tasks.modeling.finetuning import Progress, finetune
from tasks.modeling.happy import TunableGeneration
from tasks.modeling.recipes import Recipe
from tasks.parameters import TrainingParameters

TIMED = 3
"""Steps that count, after one to warm up."""
LIMIT_S = 60.0
"""Slow steps are fewer: none begins after so many seconds, once one is timed."""
_NEVER = 1_000_000


@dataclass(frozen=True)
class Timing:
    """Seconds that were measured."""

    first_step: float
    """It also warms up, and compiles where that is asked for."""
    step: float
    """The median of those after the first."""
    timed: int
    """How many those were."""
    held_out_block: float
    """Of a measurement, for each block."""

    def estimate(self, steps: int, measured_blocks: int) -> float:
        """A training of `steps` steps that measures the loss of so many held-out blocks in all."""
        return self.first_step + (steps - 1) * self.step + measured_blocks * self.held_out_block


class _Enough(Exception):  # noqa: N818 not an error: it leaves the training
    """The steps are timed."""


class _StopWatch:
    """Is told of each step and leaves the training when it has seen enough."""

    def __init__(self) -> None:
        self.ends: list[float] = []
        """When training began, then when each step ended."""

    def __call__(self, progress: Progress) -> None:
        if progress.entry is not None and progress.step > 0:
            return
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        now = time.monotonic()
        self.ends = [now] if progress.step == 0 else [*self.ends, now]
        if len(self.ends) > TIMED + 1 or (len(self.ends) > 2 and now - self.ends[0] > LIMIT_S):
            raise _Enough


def time_steps(
    generator: TunableGeneration, train: Blocks, held_out: Blocks, *, training: TrainingParameters, recipe: Recipe
) -> Timing:
    """Train for a few steps and throw the result away; nothing is saved.

    Raises:
        InputError: memory ran out, or a loss is no number.
    """
    changed = {"max_steps": TIMED + 2, "eval_steps": _NEVER, "save_steps": _NEVER}
    unchanged = {"load_best_model_at_end": False, "early_stopping_patience": None}
    few = Blocks(*(part[: max(recipe.batch_size, 8)] for part in (held_out.ids, held_out.lengths)))
    watch = _StopWatch()
    with tempfile.TemporaryDirectory(prefix="spinneret-") as unused:
        told = training.model_copy(update=changed | unchanged)
        place = Path(unused) / "model"
        with contextlib.suppress(_Enough):
            finetune(generator, train, few, place, training=told, recipe=recipe, on_progress=watch)
    seconds = [end - begin for begin, end in zip(watch.ends, watch.ends[1:], strict=False)]
    return Timing(
        first_step=seconds[0],
        step=statistics.median(seconds[1:]),
        timed=len(seconds) - 1,
        held_out_block=_time_measuring(generator) / len(few),
    )


def _time_measuring(generator: TunableGeneration) -> float:
    assert generator.trainer is not None
    began = time.monotonic()
    generator.trainer.measure(exactly=False)
    return time.monotonic() - began
