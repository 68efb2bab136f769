"""A Trainer callback that decides after each step whether to evaluate, to save and to stop."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from tasks.modeling.schedule import eval_every, log_every, save_every
from tasks.modeling.stopping import Stop


@dataclass(frozen=True)
class Schedule:
    """When to evaluate, to save and to stop; None stands for the default."""

    eval_steps: int | None = None
    save_steps: int | None = None
    patience: int | None = None
    keep_best: bool = False


class Clock:
    """Seconds of training, without evaluating and saving."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._paused = 0.0

    def take(self) -> float:
        """Seconds since the last call, without pauses."""
        now = time.monotonic()
        seconds, self._began, self._paused = now - self._began - self._paused, now, 0.0
        return seconds

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Do not count the time that the block takes."""
        began = time.monotonic()
        try:
            yield
        finally:
            self._paused += time.monotonic() - began


class ScheduleCallback(TrainerCallback):
    """Evaluates before the first step, on schedule and after the last step; saves on schedule and at the best loss.

    Training ends when the steps are done, when patience runs out, or when a stop is requested. `mark` is called between
    two steps.
    """

    def __init__(
        self, schedule: Schedule, stop: Stop, clock: Clock, *, evaluate: Callable[[], Any], mark: Callable[[], None]
    ) -> None:
        self._schedule, self._stop, self._clock = schedule, stop, clock
        self._evaluate, self._mark = evaluate, mark

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Compute the intervals, and evaluate the base model before the first step."""
        self._eval_steps = eval_every(self._schedule.eval_steps, state.max_steps)
        self._save_steps = save_every(self._schedule.save_steps, self._eval_steps)
        state.logging_steps = log_every(state.max_steps)
        self._mark()
        if state.global_step == 0:
            self._evaluate()
        self._clock.take()

    def on_substep_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Stop between two batches of an accumulated step, if requested."""
        control.should_training_stop = control.should_training_stop or self._stop_requested(args)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Evaluate, save and stop when it is time."""
        self._mark()
        step, last = state.global_step, state.global_step >= state.max_steps
        control.should_evaluate = last or step % self._eval_steps == 0
        control.should_log = control.should_log or control.should_evaluate
        control.should_save = not last and step % self._save_steps == 0
        control.should_training_stop = control.should_training_stop or self._stop_requested(args)

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Save the best weights, and stop when patience runs out."""
        best = best_step(state.log_history)
        if best is not None and self._schedule.keep_best and best == state.global_step < state.max_steps:
            control.should_save = True
        if self._schedule.patience is not None and best is not None:
            since = [entry for entry in state.log_history if "eval_loss" in entry and entry["step"] > best]
            control.should_training_stop = control.should_training_stop or len(since) >= self._schedule.patience

    def _stop_requested(self, args: TrainingArguments) -> bool:
        """Whether a stop is requested in any process: all processes stop after the same batch."""
        requested = self._stop.requested
        if args.world_size == 1:
            return requested
        flag = torch.tensor(float(requested), device=args.device)
        torch.distributed.all_reduce(flag, op=torch.distributed.ReduceOp.MAX)
        return bool(flag)


def best_step(history: Sequence[Mapping[str, float]]) -> int | None:
    """The step with the lowest held-out loss, the first one if there are several; step 0 does not count."""
    losses = [(entry["eval_loss"], int(entry["step"])) for entry in history if "eval_loss" in entry and entry["step"]]
    return min(losses)[1] if losses else None
