"""Fine-tuning: train a model on token blocks and save it, with the history of its losses.

A resumed training ends like an uninterrupted one, on a CPU bit by bit. In a distributed training every process calls
`finetune` with the same arguments; the first one saves.
"""

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from tasks.modeling.adapters import add_adapters, merge_adapters
from tasks.modeling.blocks import Blocks
from tasks.modeling.devices import Precision, choose_precision, explain_out_of_memory
from tasks.modeling.generation import generate, has_room
from tasks.modeling.happy import TunableGeneration
from tasks.modeling.recipes import Recipe
from tasks.modeling.schedule_callback import Schedule
from tasks.modeling.stopping import delayed_stop
from tasks.modeling.trainer import BlockTrainer, Checkpoints, check_eval_loss
from tasks.parameters import SamplingParameters, TrainingParameters

PREVIEW_PROMPTS = 3
"""Prompts for which samples are generated during training."""

Preview = tuple[tuple[str, str], ...]
"""Pairs of prompt and text."""


@dataclass(frozen=True)
class Progress:
    """The step that the training has reached, and the new log entry if there is one.

    With a held-out loss come samples of what the model writes at this step.
    """

    step: int
    steps: int
    entry: dict[str, float] | None = None
    samples: Preview = ()


@dataclass(frozen=True)
class Outcome:
    """The result of a training; losses are held-out losses in nats per token."""

    steps: int
    epochs: float
    loss_before: float
    loss_after: float
    nats_per_document: float | None
    """Held-out loss per document after training; None if the blocks do not mark the ends of documents."""
    best_step: int | None
    """The step whose weights were kept; None for those of the last step."""
    precision: Precision
    seconds: float
    """Of this process, since it started or resumed."""
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
    sampling: SamplingParameters | None = None,
) -> Outcome:
    """Train `generator` on `train` and save it to `folder`, in eval mode.

    With `sampling` the model writes a sample after each of the first PREVIEW_PROMPTS prompts at each evaluation, which
    does not affect the training.

    A signal (Ctrl-C, SIGTERM) ends the training after the current batch: a checkpoint is saved, then the signal is
    delivered.

    Raises:
        InputError: a loss is NaN or infinite, memory ran out, or the disk is full; the last checkpoint is kept.
    """
    began = time.monotonic()
    precision = choose_precision(training)
    if training.lora_rank is not None:
        generator.model = add_adapters(generator.model, training)
    with (
        tempfile.TemporaryDirectory(prefix="spinneret-") as scratch,
        explain_out_of_memory(training, batch_size=recipe.batch_size, block_size=train.ids.shape[1]),
    ):
        with delayed_stop() as stop:
            trainer = generator.train(
                lambda: _arguments(training, recipe, precision, scratch),
                resume_from,
                train=train,
                held_out=held_out,
                schedule=Schedule(
                    eval_steps=training.eval_steps,
                    save_steps=training.save_steps,
                    patience=training.early_stopping_patience,
                    keep_best=training.load_best_model_at_end,
                ),
                checkpoints=checkpoints,
                stop=stop,
                callbacks=[_ProgressCallback(on_progress, _preview(generator, training, sampling))],
            )
            if stop.requested:
                trainer.save_now()
        best_step = trainer.load_best() if training.load_best_model_at_end else None
        loss_after = trainer.measure(exactly=True)
        check_eval_loss(loss_after, trainer.state.global_step)
        _save(generator, trainer, folder, training)
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


def _arguments(training: TrainingParameters, recipe: Recipe, precision: Precision, scratch: str) -> TrainingArguments:
    cuda = torch.cuda.is_available()
    return TrainingArguments(
        output_dir=scratch,
        report_to=["none"],
        learning_rate=recipe.learning_rate,
        per_device_train_batch_size=recipe.batch_size,
        per_device_eval_batch_size=recipe.batch_size,
        num_train_epochs=training.num_train_epochs,
        weight_decay=training.weight_decay,
        eval_strategy="no",  # the ScheduleCallback decides
        save_strategy="no",
        logging_strategy="steps",
        logging_steps=1,
        max_steps=-1 if training.max_steps is None else training.max_steps,
        adam_beta1=training.adam_beta1,
        adam_beta2=training.adam_beta2,
        adam_epsilon=training.adam_epsilon,
        max_grad_norm=training.max_grad_norm,
        seed=training.seed,
        data_seed=training.seed,
        lr_scheduler_type=recipe.lr_scheduler_type,
        warmup_ratio=recipe.warmup_ratio,
        gradient_accumulation_steps=training.gradient_accumulation_steps,
        gradient_checkpointing=training.gradient_checkpointing,
        gradient_checkpointing_kwargs={"use_reentrant": False} if training.gradient_checkpointing else None,
        fp16=precision == "fp16",
        bf16=precision == "bf16",
        torch_compile=training.torch_compile,
        fsdp="full_shard auto_wrap" if training.fsdp else None,
        fsdp_config={"use_orig_params": True} if training.fsdp else None,
        optim="adamw_torch_fused",
        use_cpu=not cuda and not torch.backends.mps.is_available(),
        dataloader_pin_memory=cuda,
        remove_unused_columns=False,
        logging_nan_inf_filter=False,
        disable_tqdm=True,
        ddp_find_unused_parameters=False,
    )


def _save(generator: TunableGeneration, trainer: BlockTrainer, folder: Path, training: TrainingParameters) -> None:
    """Save the plain model; in a distributed training the first process writes."""
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


def _preview(
    generator: TunableGeneration, training: TrainingParameters, sampling: SamplingParameters | None
) -> Callable[[], Preview]:
    """A function that generates samples during training; none for a sharded model, which would need all processes."""
    if sampling is None or training.fsdp:
        return lambda: ()
    prompts = [prompt for prompt in sampling.prompts if has_room(generator, prompt, sampling)][:PREVIEW_PROMPTS]
    single = sampling.model_copy(update={"num_samples": 1})

    def preview() -> Preview:
        was_training = generator.model.training
        samples = generate(generator, prompts, single)
        generator.model.train(was_training)
        return tuple((sample.prompt, sample.text) for sample in samples)

    return preview


class _ProgressCallback(TrainerCallback):
    """Reports the progress of the training."""

    def __init__(self, on_progress: Callable[[Progress], None], preview: Callable[[], Preview]) -> None:
        self._on_progress = on_progress
        self._preview = preview

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Report a new log entry."""
        entry = state.log_history[-1]
        samples = self._preview() if "eval_loss" in entry and state.is_world_process_zero else ()
        self._on_progress(Progress(state.global_step, state.max_steps, entry, samples))

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Report a step."""
        self._on_progress(Progress(state.global_step, state.max_steps))
