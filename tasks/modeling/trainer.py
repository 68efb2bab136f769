"""Hugging Face's Trainer with a token-weighted loss, scheduled evaluations, and checkpoints that are whole or absent.

`state.log_history` gets an entry with `loss`, `learning_rate`, `grad_norm` and `tokens_per_second` since the entry
before, or with `eval_loss`; each has its `step`. Losses are in nats per real token.

A checkpoint holds weights, optimizer, schedule, random states and the position in the data. It is saved between two
steps, and never with weights that are NaN or infinite, so a resumed training ends like an uninterrupted one.
"""

import json
import math
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments
from transformers.trainer import OPTIMIZER_NAME, SCHEDULER_NAME, TRAINER_STATE_NAME, TRAINING_ARGS_NAME

from tasks.errors import InputError
from tasks.modeling.blocks import IGNORED_LABEL, Blocks
from tasks.modeling.distributed import broadcast_from_first
from tasks.modeling.loss import mean_loss
from tasks.modeling.random_states import get_random_states, set_random_states
from tasks.modeling.saving import explain_full_disk
from tasks.modeling.schedule_callback import Clock, Schedule, ScheduleCallback, best_step
from tasks.modeling.stopping import Stop

UNREPORTED = "unreported.json"
"""File in a checkpoint: negative log-likelihood and tokens since the last log entry."""


class Checkpoint(Protocol):
    """A complete checkpoint."""

    @property
    def folder(self) -> Path:
        """The folder with its files."""


class Checkpoints(Protocol):
    """A store of checkpoints, each complete or absent."""

    def save(self, step: int, fill: Callable[[Path], Mapping[str, Any]], *, keep: Collection[int] = ()) -> None:
        """Save what `fill` writes to a folder as the checkpoint of `step`; steps in `keep` are not deleted."""

    def find(self, step: int) -> Checkpoint | None:
        """The checkpoint of a step, if there is one."""


class BlockTrainer(Trainer):
    """Trains on `Blocks`; `callbacks` are Hugging Face callbacks."""

    def __init__(  # noqa: PLR0913 the parts of a training
        self,
        *,
        model: Any,
        args: TrainingArguments,
        train: Blocks,
        held_out: Blocks,
        schedule: Schedule,
        checkpoints: Checkpoints | None,
        stop: Stop,
        callbacks: list[TrainerCallback],
    ) -> None:
        """Create the trainer; training starts with `train_from`."""
        self.clock = Clock()
        scheduled = ScheduleCallback(schedule, stop, self.clock, evaluate=self.evaluate, mark=self.mark)
        super().__init__(
            model=model,
            args=args,
            train_dataset=train,
            data_collator=train.batch,
            callbacks=[scheduled, *callbacks],
        )
        self.remove_callback(PrinterCallback)  # type: ignore[no-untyped-call]
        self.held_out = held_out
        self.checkpoints = checkpoints
        self._keep_best = schedule.keep_best
        self._sums = torch.zeros(2, dtype=torch.float64, device=args.device)  # negative log-likelihood, tokens
        self.mark()

    def mark(self) -> None:
        """Remember random states and unreported sums between two steps: an interrupted step is repeated from there."""
        self._marked = get_random_states(), self._sums.clone()

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        """Load to `cpu`: with several processes the parent would use the device `cpu:0`, which torch does not know."""
        if checkpoint is None or self.args.device.type != "cpu":
            super()._load_optimizer_and_scheduler(checkpoint)  # type: ignore[no-untyped-call]
            return
        states: tuple[tuple[str, Any], ...] = (OPTIMIZER_NAME, self.optimizer), (SCHEDULER_NAME, self.lr_scheduler)
        for name, part in states:
            part.load_state_dict(torch.load(Path(checkpoint) / name, map_location="cpu", weights_only=True))

    def _load_rng_state(self, checkpoint: str | None) -> None:
        super()._load_rng_state(checkpoint)  # type: ignore[no-untyped-call]
        self.mark()

    @property
    def best_step(self) -> int | None:
        """The step with the lowest held-out loss so far."""
        return best_step(self.state.log_history)

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> torch.Tensor:
        """Forward and backward of one batch; its tokens and their negative log-likelihood are summed."""
        loss = super().training_step(model, inputs, num_items_in_batch)
        # The loss is (sum over this process's tokens) * processes / (tokens of the whole step).
        total = loss.detach() * num_items_in_batch / self.args.world_size
        self._sums += torch.stack([total, (inputs["labels"] != IGNORED_LABEL).sum()])
        return loss

    def floating_point_ops(self, inputs: Any) -> int:
        """Not counted: it would iterate over all weights at each step."""
        return 0

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Append an entry to the history; InputError if the loss is NaN or infinite."""
        if "train_runtime" in logs:
            return  # the summary at the end has no step of its own
        if "loss" in logs:
            logs = {**logs, **self._take_metrics()}
            check_finite(logs["loss"], self.state.global_step)
        elif "eval_loss" in logs:
            check_eval_loss(logs["eval_loss"], self.state.global_step)
        entry = {"step": self.state.global_step, **logs}
        self.state.log_history.append(entry)
        self.control = self.callback_handler.on_log(self.args, self.state, self.control, logs)

    def _take_metrics(self) -> dict[str, float]:
        """Loss and speed since the last log entry, over all processes."""
        sums, seconds = self._over_all_processes(self._sums), self.clock.take()
        self._sums = torch.zeros_like(sums)
        self.mark()
        loss, tokens = sums.tolist()
        return {"loss": loss / max(tokens, 1), "tokens_per_second": tokens / max(seconds, 1e-9)}

    def _over_all_processes(self, sums: torch.Tensor) -> torch.Tensor:
        if self.args.world_size > 1:
            torch.distributed.all_reduce(sums)
        return sums

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Compute the held-out loss and append it to the history; the first one in full precision."""
        metrics = {"eval_loss": self.measure(exactly=self.state.global_step == 0)}
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def measure(self, *, exactly: bool) -> float:
        """The held-out loss of the current weights in nats per token, in full precision or in that of the training.

        A sharded model is always evaluated in the precision of the training.
        """
        model: Any = self.model_wrapped if self.is_fsdp_enabled else self.model
        in_full = getattr(model, "_original_forward", None) if exactly else None  # accelerate keeps it if it autocasts
        with self.clock.paused():
            model.eval()
            return mean_loss(
                in_full or model,
                self.held_out,
                device=self.args.device,
                batch_size=max(self.args.per_device_train_batch_size, 8),
                shard=(self.args.process_index, self.args.world_size),
            )

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """Save a checkpoint, whole or not at all."""
        if self.checkpoints is None:
            return
        with self.clock.paused():
            self._check_weights()
            best = self.best_step if self._keep_best else None
            _save_on_all_processes(self, self.checkpoints, keep=() if best is None else (best,))

    def write_state(self, folder: Path) -> None:
        """Write all that resuming needs to `folder`; every process calls it. InputError if the disk is full."""
        path, now = str(folder), get_random_states()
        states, sums = self._marked
        with explain_full_disk(folder):
            self.save_model(path, _internal_call=True)
            (folder / TRAINING_ARGS_NAME).unlink(missing_ok=True)  # a pickle that is never read
            self._save_optimizer_and_scheduler(path)  # type: ignore[no-untyped-call]
            self._save_scaler(path)  # type: ignore[no-untyped-call]
            set_random_states(states)
            self._save_rng_state(path)  # type: ignore[no-untyped-call]
            set_random_states(now)
            unreported = self._over_all_processes(sums.clone())
            if self.args.should_save:
                self.state.save_to_json(str(folder / TRAINER_STATE_NAME))
                (folder / UNREPORTED).write_text(json.dumps(unreported.tolist()), encoding="utf-8")

    def train_from(self, checkpoint: Path | None) -> None:
        """Train from the beginning, or resume from a checkpoint with the sums that it had not logged yet."""
        if checkpoint is not None and self.args.should_save:
            unreported = json.loads((checkpoint / UNREPORTED).read_text(encoding="utf-8"))
            self._sums = torch.tensor(unreported, dtype=torch.float64, device=self.args.device)
        self.train(None if checkpoint is None else str(checkpoint))

    def save_now(self) -> None:
        """Save a checkpoint of the last whole step."""
        self._save_checkpoint(self.model_wrapped, trial=None)

    def load_best(self) -> int | None:
        """Load the weights of the best step and return it; None if there was no evaluation after step 0."""
        best = self.best_step
        if best is not None and best != self.state.global_step:
            found = self.checkpoints.find(best) if self.checkpoints else None
            if found is None:
                raise RuntimeError(f"the checkpoint of step {best}, which has the best weights, is missing")
            model = self.model_wrapped if self.is_fsdp_enabled else None
            self._load_from_checkpoint(str(found.folder), model)  # type: ignore[no-untyped-call]
        return best

    def _check_weights(self) -> None:
        """Refuse to save weights that are NaN or infinite: each resumed training would fail again."""
        assert self.model is not None
        if not all(bool(weights.isfinite().all()) for weights in self.model.parameters()):
            check_finite(math.nan, self.state.global_step)

    def _issue_warnings_after_load(self, load_result: Any) -> None:
        """Ignore missing keys: tied weights are stored under one of their names."""
        if load_result.unexpected_keys:
            raise RuntimeError(f"the checkpoint holds weights of another model: {load_result.unexpected_keys[:3]}")


def _save_on_all_processes(trainer: BlockTrainer, checkpoints: Checkpoints, keep: Collection[int]) -> None:
    """Save a checkpoint: the first process creates the folder, every process writes its part, then it is renamed."""

    def fill(folder: Path | None) -> Mapping[str, Any]:
        shared = folder if trainer.args.world_size == 1 else broadcast_from_first(folder)
        assert shared is not None
        trainer.write_state(shared)
        if trainer.args.world_size > 1:
            torch.distributed.barrier()
        return {}

    if trainer.args.process_index == 0:
        checkpoints.save(trainer.state.global_step, fill, keep=keep)
    else:
        fill(None)


def check_finite(loss: float, step: int) -> None:
    """Raise InputError if a training loss is NaN or infinite."""
    if not math.isfinite(loss):
        raise InputError(
            f"The training loss became {loss} at step {step}: lower --training.learning-rate, and omit "
            "--training.fp16 if it is set (GPT-Neo overflows in it; --training.bf16 does not)."
        )


def check_eval_loss(loss: float, step: int) -> None:
    """Raise InputError if a held-out loss is NaN or infinite."""
    if step == 0 and not math.isfinite(loss):
        raise InputError(f"The base model's held-out loss is {loss} before any training: its weights are damaged.")
    check_finite(loss, step)
