"""Schedule: how many optimizer steps a training takes, and what comes how often, known before it starts.

What comes in: blocks, batch size, accumulation, processes and epochs. What it leaves: the number of steps that Hugging
Face's trainer (4.57) will count, how many of them the warm-up takes, and the steps between two measurements, two
checkpoints and two entries of the history. Pure arithmetic: nothing is imported.
"""

import math

MEASUREMENTS = 10
"""Measurements of the held-out loss after the first, where `eval_steps` is left out."""
MOST_STEPS_LOST = 500
"""Steps between two checkpoints at most, where `save_steps` is left out."""


def count_steps(  # noqa: PLR0913, PLR0917 what a number of steps depends on
    blocks: int, batch_size: int, accumulation: int, processes: int, epochs: float, max_steps: int | None
) -> int:
    """Optimizer steps of a whole training; `max_steps`, where given, wins over `epochs`."""
    if max_steps is not None:
        return max_steps
    return math.ceil(epochs * steps_per_epoch(blocks, batch_size, accumulation, processes))


def steps_per_epoch(blocks: int, batch_size: int, accumulation: int, processes: int) -> int:
    """Optimizer steps in which each block is seen once.

    The last batch may be smaller, each process gets equally many batches (the first ones again where they do not
    divide), and the batches that are left over at the end of an epoch make a step of their own.
    """
    batches = math.ceil(math.ceil(blocks / batch_size) / processes)  # of one process
    return max(math.ceil(batches / accumulation), 1)


def count_warmup_steps(steps: int, ratio: float) -> int:
    """Steps in which the learning rate rises; the first of them has learning rate 0."""
    return math.ceil(steps * ratio)


def eval_every(eval_steps: int | None, steps: int) -> int:
    """Steps between two measurements of the held-out loss in a training of `steps`."""
    return eval_steps or math.ceil(steps / MEASUREMENTS)


def save_every(save_steps: int | None, eval_steps: int) -> int:
    """Steps between two checkpoints, where the loss is measured every `eval_steps`."""
    return save_steps or min(eval_steps, MOST_STEPS_LOST)


def log_every(steps: int) -> int:
    """Steps between two entries of the history: ten, fewer in a short training."""
    return max(1, min(10, steps // 30))
