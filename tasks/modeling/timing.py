"""Measures how long a training step takes, by running a few steps of the training itself.

The steps use the same trainer, precision, accumulation and compilation on real blocks. The training is aborted before
it saves anything, and the weights are discarded.
"""

import contextlib
import statistics
import tempfile
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import torch

from tasks.modeling.blocks import Blocks
from tasks.modeling.finetuning import Progress, finetune
from tasks.modeling.happy import TunableGeneration
from tasks.modeling.recipes import Recipe
from tasks.parameters import TrainingParameters

TIMED_STEPS = 3
"""After one step to warm up."""
LIMIT_S = 60.0
"""No further step starts after this time, once one is timed."""
_NEVER = 1_000_000


@dataclass(frozen=True)
class Timing:
    """Measured seconds."""

    first_step: float
    """Including warm-up, and compilation if requested."""
    step: float
    """The median of the steps after the first."""
    timed: int
    """The number of steps in the median."""
    held_out_block: float
    """Of an evaluation, per block."""

    def estimate(self, steps: int, held_out_blocks: int) -> float:
        """Seconds of a training of `steps` steps whose evaluations take `held_out_blocks` blocks in total."""
        return self.first_step + (steps - 1) * self.step + held_out_blocks * self.held_out_block


class _TimingDone(Exception):  # noqa: N818 not an error
    """Raised to abort the training when enough steps are timed."""


class _StopWatch:
    """A progress callback that records when each step ends and raises _TimingDone after enough of them."""

    def __init__(self) -> None:
        self.ends: list[float] = []
        """When the training began, then when each step ended."""

    def __call__(self, progress: Progress) -> None:
        if progress.entry is not None and progress.step > 0:
            return
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        now = time.monotonic()
        self.ends = [now] if progress.step == 0 else [*self.ends, now]
        if len(self.ends) > TIMED_STEPS + 1 or (len(self.ends) > 2 and now - self.ends[0] > LIMIT_S):
            raise _TimingDone


def time_steps(
    generator: TunableGeneration, train: Blocks, held_out: Blocks, *, training: TrainingParameters, recipe: Recipe
) -> Timing:
    """Train for a few steps without saving, and discard the result.

    Raises:
        InputError: memory ran out, or a loss is NaN or infinite.
    """
    changes = {
        "max_steps": TIMED_STEPS + 2,
        "eval_steps": _NEVER,
        "save_steps": _NEVER,
        "load_best_model_at_end": False,
        "early_stopping_patience": None,
    }
    evaluated = max(recipe.batch_size, 8)
    few = Blocks(held_out.ids[:evaluated], held_out.lengths[:evaluated])
    watch = _StopWatch()
    with tempfile.TemporaryDirectory(prefix="spinneret-") as scratch, contextlib.suppress(_TimingDone):
        finetune(
            generator,
            train,
            few,
            Path(scratch) / "model",
            training=training.model_copy(update=changes),
            recipe=recipe,
            on_progress=watch,
        )
    seconds = [end - begin for begin, end in pairwise(watch.ends)]
    assert generator.trainer is not None
    began = time.monotonic()
    generator.trainer.measure(exactly=False)
    return Timing(
        first_step=seconds[0],
        step=statistics.median(seconds[1:]),
        timed=len(seconds) - 1,
        held_out_block=(time.monotonic() - began) / len(few),
    )
