"""Schedule: how many optimizer steps a training takes, known before it starts.

What comes in: blocks, batch size, accumulation, processes and epochs. What it leaves: the number of steps that Hugging
Face's trainer (4.57) will count, and how many of them the warm-up takes. Pure arithmetic: nothing is imported.
"""

import math


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
