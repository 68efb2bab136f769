"""Defaults of learning rate, batch size, schedule and warm-up.

A pretrained model gets Happy Transformer's defaults (5e-5, batch 1, linear decay). A model from scratch needs a larger
learning rate with a warm-up; its batch is the preset's, smaller if the corpus would otherwise give fewer than about 300
steps.
"""

from dataclasses import dataclass

from tasks.parameters import TrainingParameters

TARGET_STEPS = 300


@dataclass(frozen=True)
class Recipe:
    """The values that a training uses; schedule and warm-up have Hugging Face's names."""

    learning_rate: float
    batch_size: int
    lr_scheduler_type: str
    warmup_ratio: float


PRETRAINED = Recipe(learning_rate=5e-5, batch_size=1, lr_scheduler_type="linear", warmup_ratio=0.0)

FROM_SCRATCH = {
    "scratch-tiny": Recipe(learning_rate=3e-3, batch_size=16, lr_scheduler_type="cosine", warmup_ratio=0.1),
    "scratch-125m": Recipe(learning_rate=6e-4, batch_size=8, lr_scheduler_type="cosine", warmup_ratio=0.1),
    "scratch-1.3b": Recipe(learning_rate=2e-4, batch_size=4, lr_scheduler_type="cosine", warmup_ratio=0.1),
}
"""Learning rates fall with size as in Table 2.1 of the GPT-3 paper (arXiv:2005.14165); the tiny one is measured."""


def choose_recipe(training: TrainingParameters, *, preset: str | None, blocks: int) -> Recipe:
    """The recipe of a training on `blocks` blocks; explicit parameters override the defaults.

    `preset` is None for a pretrained model.
    """
    base = FROM_SCRATCH[preset] if preset else PRETRAINED
    batch_size = base.batch_size
    if preset and training.max_steps is None:
        trained = blocks * training.num_train_epochs / training.gradient_accumulation_steps
        batch_size = max(1, min(batch_size, round(trained / TARGET_STEPS)))
    return Recipe(
        learning_rate=training.learning_rate or base.learning_rate,
        batch_size=training.batch_size or batch_size,
        lr_scheduler_type=training.lr_scheduler_type or base.lr_scheduler_type,
        warmup_ratio=base.warmup_ratio if training.warmup_ratio is None else training.warmup_ratio,
    )
