"""How many optimizer steps a training takes, and how often it evaluates, saves and logs, known before it starts.

The numbers of steps are those of Hugging Face's Trainer (4.57). The module imports neither torch nor transformers.
"""

import math

EVALUATIONS = 10
"""Evaluations of the held-out loss after the first one, by default."""
MAX_SAVE_STEPS = 500
"""The most steps between two checkpoints, by default."""


def count_steps(  # noqa: PLR0913, PLR0917 all that the number of steps depends on
    blocks: int, batch_size: int, accumulation: int, processes: int, epochs: float, max_steps: int | None
) -> int:
    """Optimizer steps of a whole training; `max_steps` overrides `epochs`."""
    if max_steps is not None:
        return max_steps
    return math.ceil(epochs * steps_per_epoch(blocks, batch_size, accumulation, processes))


def steps_per_epoch(blocks: int, batch_size: int, accumulation: int, processes: int) -> int:
    """Optimizer steps in one pass over all blocks.

    The last batch may be smaller, each process gets the same number of batches (some repeat the first ones), and the
    remaining batches at the end of an epoch form a step of their own.
    """
    batches = math.ceil(math.ceil(blocks / batch_size) / processes)  # per process
    return max(math.ceil(batches / accumulation), 1)


def count_warmup_steps(steps: int, ratio: float) -> int:
    """Steps in which the learning rate rises, starting from 0."""
    return math.ceil(steps * ratio)


def eval_every(eval_steps: int | None, steps: int) -> int:
    """Steps between two evaluations in a training of `steps`."""
    return eval_steps or math.ceil(steps / EVALUATIONS)


def save_every(save_steps: int | None, eval_steps: int) -> int:
    """Steps between two checkpoints in a training that evaluates every `eval_steps`."""
    return save_steps or min(eval_steps, MAX_SAVE_STEPS)


def log_every(steps: int) -> int:
    """Steps between two log entries: ten, fewer in a short training."""
    return max(1, min(10, steps // 30))
