"""Conducting: what happens after each step of a training, and when.

What comes in: the schedule (how often to measure and to save, how much patience) and the trainer. What it leaves: a
measurement before the first step, then on schedule, then after the last; checkpoints on schedule and where the held-out
loss is the best so far; an end when the steps are done, when patience is at its end, or when somebody asks for it.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from tasks.modeling.schedule import eval_every, log_every, save_every
from tasks.modeling.stopping import Stop

if TYPE_CHECKING:
    from tasks.modeling.trainer import BlockTrainer


@dataclass(frozen=True)
class Schedule:
    """When to measure, to save and to end; None for what was left out."""

    eval_steps: int | None = None
    save_steps: int | None = None
    patience: int | None = None
    keep_best: bool = False


class Conduct(TrainerCallback):
    """Decides after each step whether to measure, to save and to end."""

    def __init__(self, trainer: "BlockTrainer", schedule: Schedule, stop: Stop) -> None:
        self._trainer = trainer
        self._schedule = schedule
        self._stop = stop

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Fix what comes how often; measure the base model, before any step."""
        self._eval_steps = eval_every(self._schedule.eval_steps, state.max_steps)
        self._save_steps = save_every(self._schedule.save_steps, self._eval_steps)
        state.logging_steps = log_every(state.max_steps)
        self._trainer.mark()
        if state.global_step == 0:
            self._trainer.evaluate()
        self._trainer.clock.take()

    def on_substep_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Between two batches of one step: end there if somebody wants it."""
        control.should_training_stop = control.should_training_stop or self._wanted()

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """After a step: measure, save and end when it is time."""
        self._trainer.mark()
        step, last = state.global_step, state.global_step >= state.max_steps
        control.should_evaluate = last or step % self._eval_steps == 0
        control.should_log = control.should_log or control.should_evaluate
        control.should_save = not last and step % self._save_steps == 0
        control.should_training_stop = control.should_training_stop or self._wanted()

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """After a measurement: save the best weights, end when patience is at its end."""
        best = self._trainer.best_step
        if best is not None and self._schedule.keep_best and best == state.global_step < state.max_steps:
            control.should_save = True
        if self._schedule.patience is not None and best is not None:
            since = [entry for entry in state.log_history if "eval_loss" in entry and entry["step"] > best]
            control.should_training_stop = control.should_training_stop or len(since) >= self._schedule.patience

    def _wanted(self) -> bool:
        """Whether this process, or any that trains with it, is asked to end: all end after the same batch."""
        wanted = self._stop.wanted
        if self._trainer.args.world_size == 1:
            return wanted
        flag = torch.tensor(float(wanted), device=self._trainer.args.device)
        torch.distributed.all_reduce(flag, op=torch.distributed.ReduceOp.MAX)
        return bool(flag)


class Clock:
    """Seconds of training: measuring and saving are not counted."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._lost = 0.0

    def take(self) -> float:
        """Seconds since the last time, pauses left out."""
        now = time.monotonic()
        seconds, self._began, self._lost = now - self._began - self._lost, now, 0.0
        return seconds

    @contextmanager
    def paused(self) -> Iterator[None]:
        """The block is not counted."""
        began = time.monotonic()
        try:
            yield
        finally:
            self._lost += time.monotonic() - began
