"""Fine-tune: a base model and token blocks in, a model folder and its history out.

What comes in: blocks that were packed and split before, the training parameters, and where checkpoints go. What it
leaves: the fine-tuned model (the last weights or the best ones), saved in eval mode; the held-out loss before the first
and after the last step; the history of both losses. It goes on from a checkpoint where it is given one, and ends where
an undisturbed training ends: on a CPU bit by bit.

Every process of a distributed training calls `finetune` with the same arguments; the first one saves.
"""

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from tasks.modeling.adapters import add_adapters, merge_adapters
from tasks.modeling.blocks import Blocks
from tasks.modeling.devices import Precision, choose_precision, memory_explained
from tasks.modeling.generation import generate, has_room
from tasks.modeling.happy import TunableGeneration
from tasks.modeling.recipes import Recipe
from tasks.modeling.schedule_callback import Schedule
from tasks.modeling.stopping import delayed_stop
from tasks.modeling.trainer import BlockTrainer, Checkpoints, check_measured
from tasks.parameters import SamplingParameters, TrainingParameters

WATCHED = 3
"""Prompts that the model goes on from in mid-training."""

Write = Callable[[], tuple[tuple[str, str], ...]]


@dataclass(frozen=True)
class Progress:
    """Where the training is; `entry` is the newest entry of the history, None at the steps between.

    Beside a held-out loss stand some samples, prompt and text: what the model writes at this step.
    """

    step: int
    steps: int
    entry: dict[str, float] | None = None
    samples: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Outcome:
    """What a training did; losses are held-out, in nats a token."""

    steps: int
    epochs: float
    loss_before: float
    loss_after: float
    nats_per_document: float | None
    """Held-out loss after training of a whole document; None where the blocks do not show where documents end."""
    best_step: int | None
    """The step whose weights were kept, where the best were asked for."""
    precision: Precision
    seconds: float
    """Of this process, since it began or went on."""
    history: list[dict[str, Any]]


def finetune(  # noqa: PLR0913
    generator: TunableGeneration,
    train: Blocks,
    held_out: Blocks,
    folder: Path,
    *,
    training: TrainingParameters,
    recipe: Recipe,
    checkpoints: Checkpoints | None = None,
    resume_from: Path | None = None,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    watched: SamplingParameters | None = None,
) -> Outcome:
    """Train `generator` on `train` and save it to `folder`.

    `watched`: at each measurement the model writes one sample for each of the first WATCHED prompts, which changes
    nothing in the training.

    A signal (Ctrl-C, SIGTERM) ends the training after the batch under way: a checkpoint is saved, then the signal takes
    its course.

    Raises:
        InputError: a loss is no number, memory ran out, or the disk is full; the last checkpoint is kept.
    """
    began = time.monotonic()
    precision = choose_precision(training)
    if training.lora_rank is not None:
        generator.model = add_adapters(generator.model, training)
    sizes = {"batch_size": recipe.batch_size, "block_size": train.ids.shape[1]}
    with tempfile.TemporaryDirectory(prefix="spinneret-") as scratch, memory_explained(training, **sizes):
        with delayed_stop() as stop:
            trainer = generator.train(
                partial(_arguments, training, recipe, precision, scratch),
                resume_from,
                train=train,
                held_out=held_out,
                schedule=_schedule(training),
                checkpoints=checkpoints,
                stop=stop,
                callbacks=[_Watch(on_progress, _writer(generator, training, watched))],
            )
            if stop.wanted:
                trainer.save_now()
        best_step = trainer.load_best() if training.load_best_model_at_end else None
        loss_after = trainer.measure(exactly=True)
        check_measured(loss_after, trainer.state.global_step)
        _save(generator, folder, training)
    state = trainer.state
    return Outcome(
        steps=state.global_step,
        epochs=float(state.epoch or 0),
        loss_before=next(entry["eval_loss"] for entry in state.log_history if "eval_loss" in entry),
        loss_after=loss_after,
        nats_per_document=_nats_per_document(loss_after, held_out, generator.tokenizer.eos_token_id),
        best_step=best_step,
        precision=precision,
        seconds=time.monotonic() - began,
        history=state.log_history,
    )


def _schedule(training: TrainingParameters) -> Schedule:
    return Schedule(
        training.eval_steps, training.save_steps, training.early_stopping_patience, training.load_best_model_at_end
    )


def _arguments(training: TrainingParameters, recipe: Recipe, precision: Precision, scratch: str) -> TrainingArguments:
    cuda = torch.cuda.is_available()
    checkpointing = (
        {"gradient_checkpointing_kwargs": {"use_reentrant": False}} if training.gradient_checkpointing else {}
    )
    shards = {"fsdp": "full_shard auto_wrap", "fsdp_config": {"use_orig_params": True}} if training.fsdp else {}
    values: dict[str, Any] = {
        "output_dir": scratch,
        "report_to": ["none"],
        "learning_rate": recipe.learning_rate,
        "per_device_train_batch_size": recipe.batch_size,
        "per_device_eval_batch_size": recipe.batch_size,
        "num_train_epochs": training.num_train_epochs,
        "weight_decay": training.weight_decay,
        "eval_strategy": "no",  # the schedule decides
        "save_strategy": "no",
        "logging_strategy": "steps",
        "logging_steps": 1,
        "max_steps": -1 if training.max_steps is None else training.max_steps,
        "adam_beta1": training.adam_beta1,
        "adam_beta2": training.adam_beta2,
        "adam_epsilon": training.adam_epsilon,
        "max_grad_norm": training.max_grad_norm,
        "seed": training.seed,
        "data_seed": training.seed,
        "lr_scheduler_type": recipe.lr_scheduler_type,
        "warmup_ratio": recipe.warmup_ratio,
        "gradient_accumulation_steps": training.gradient_accumulation_steps,
        "gradient_checkpointing": training.gradient_checkpointing,
        "fp16": precision == "fp16",
        "bf16": precision == "bf16",
        "torch_compile": training.torch_compile,
        "optim": "adamw_torch_fused",
        "use_cpu": not cuda and not torch.backends.mps.is_available(),
        "dataloader_pin_memory": cuda,
        "remove_unused_columns": False,
        "logging_nan_inf_filter": False,
        "disable_tqdm": True,
        "ddp_find_unused_parameters": False,
        **checkpointing,
        **shards,
    }
    return TrainingArguments(**values)


def _trainer(generator: TunableGeneration) -> BlockTrainer:
    assert generator.trainer is not None
    return generator.trainer


def _save(generator: TunableGeneration, folder: Path, training: TrainingParameters) -> None:
    """The model as anybody can load it; of several processes the first one writes."""
    trainer = _trainer(generator)
    if trainer.is_fsdp_enabled:
        trainer.save_model(str(folder))
        return
    if not trainer.is_world_process_zero():
        return
    if training.lora_rank is not None:
        generator.model = merge_adapters(generator.model)
    generator.save(folder)


def _nats_per_document(loss: float, held_out: Blocks, end_of_text: int) -> float | None:
    documents = held_out.count_ends(end_of_text)
    return loss * int(held_out.lengths.sum()) / documents if documents else None


def _writer(generator: TunableGeneration, training: TrainingParameters, watched: SamplingParameters | None) -> Write:
    """What writes samples in mid-training; a model in shards cannot, unless all processes do."""
    if watched is None or training.fsdp:
        return lambda: ()
    prompts = [prompt for prompt in watched.prompts if has_room(generator, prompt, watched)][:WATCHED]
    sampling = watched.model_copy(update={"num_samples": 1})

    def write() -> tuple[tuple[str, str], ...]:
        was_training = generator.model.training
        samples = generate(generator, prompts, sampling)
        generator.model.train(was_training)
        return tuple((sample.prompt, sample.text) for sample in samples)

    return write


class _Watch(TrainerCallback):
    """Tells where the training is."""

    def __init__(self, on_progress: Callable[[Progress], None], write: Write) -> None:
        self._on_progress = on_progress
        self._write = write

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """A new entry of the history."""
        entry = state.log_history[-1]
        samples = self._write() if "eval_loss" in entry and state.is_world_process_zero else ()
        self._on_progress(Progress(state.global_step, state.max_steps, entry, samples))

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """A step."""
        self._on_progress(Progress(state.global_step, state.max_steps))
