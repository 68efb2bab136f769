"""Fine-tune: a base model and token rows in, a model folder and its history out.

What comes in: rows that were packed and split before (`input_ids`, `attention_mask`, `labels`), handed to Happy
Transformer as a saved dataset, so that none of its own tokenizing and splitting runs. What it leaves: the fine-tuned
model, saved in eval mode, and the held-out loss before the first and after the last step.
"""

import math
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset, DatasetDict
from datasets.utils.logging import disable_progress_bar
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from tasks.errors import InputError
from tasks.modeling.happy import TunableGeneration, tuning_args
from tasks.modeling.loss import Row, mean_loss
from tasks.modeling.recipes import Recipe
from tasks.parameters import TrainingParameters


@dataclass(frozen=True)
class Progress:
    """Where the training is: the loss is the mean since the last report, in nats a token."""

    step: int
    steps: int
    loss: float | None = None
    learning_rate: float = 0.0
    grad_norm: float = 0.0


@dataclass(frozen=True)
class Outcome:
    """What a training did; losses are held-out, in nats a token."""

    steps: int
    epochs: float
    loss_before: float
    loss_after: float
    seconds: float
    history: list[dict[str, Any]]


def check_device(training: TrainingParameters) -> None:
    """Raise InputError where half precision is asked for and there is no CUDA GPU."""
    if training.fp16 and not torch.cuda.is_available():
        raise InputError(
            "--training.fp16 needs a CUDA GPU and this machine has none; leave --training.fp16 out to train in full "
            "precision, or run on the GPU work pool."
        )


def finetune(  # noqa: PLR0913
    generator: TunableGeneration,
    train_rows: Sequence[Row],
    eval_rows: Sequence[Row],
    folder: Path,
    *,
    training: TrainingParameters,
    recipe: Recipe,
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> Outcome:
    """Train `generator` on `train_rows` and save it to `folder`; raises InputError when a loss is not finite."""
    generator.model.to(generator.device)
    eval_batch = max(recipe.batch_size, 8)
    loss_before = mean_loss(generator.model, eval_rows, batch_size=eval_batch)
    if not math.isfinite(loss_before):
        raise InputError(
            f"The base model's held-out loss is {loss_before} before any training: its weights are damaged."
        )
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="spinneret-") as scratch:
        rows = _save_rows(train_rows, eval_rows, Path(scratch) / "rows")
        places = {"load_path": str(rows), "output_dir": scratch, "logging_steps": 10}
        watch = _Watch(on_progress)
        generator.train("", args=tuning_args(training, recipe, callbacks=(watch,), **places))
    seconds = time.monotonic() - began
    assert generator.trainer is not None
    state = generator.trainer.state
    loss_after = mean_loss(generator.model, eval_rows, batch_size=eval_batch)
    _finite(loss_after, state.global_step)
    generator.save(folder)
    return Outcome(state.global_step, float(state.epoch or 0), loss_before, loss_after, seconds, state.log_history)


def _save_rows(train_rows: Sequence[Row], eval_rows: Sequence[Row], folder: Path) -> Path:
    """The rows as the dataset on disk that Happy Transformer's `load_path` takes."""
    disable_progress_bar()
    splits = {"train": Dataset.from_list(list(train_rows)), "eval": Dataset.from_list(list(eval_rows))}
    DatasetDict(splits).save_to_disk(folder)
    return folder


def _finite(loss: float, step: int) -> None:
    if not math.isfinite(loss):
        raise InputError(
            f"The training loss became {loss} at step {step}: lower --training.learning-rate, and leave out "
            "--training.fp16 where it is set (GPT-Neo overflows in it)."
        )


class _Watch(TrainerCallback):
    """Reports progress, and ends a training whose loss is no number."""

    def __init__(self, on_progress: Callable[[Progress], None]) -> None:
        self._on_progress = on_progress

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        """Check the loss and report it."""
        if logs and "loss" in logs:
            _finite(logs["loss"], state.global_step)
            rest = {name: logs.get(name, 0.0) for name in ("learning_rate", "grad_norm")}
            self._on_progress(Progress(state.global_step, state.max_steps, logs["loss"], **rest))

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Report each step."""
        self._on_progress(Progress(state.global_step, state.max_steps))
