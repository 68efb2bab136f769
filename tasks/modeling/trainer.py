"""The trainer: Hugging Face's, with a true loss, a schedule of measurements, and checkpoints that are whole or absent.

What comes in: a model, blocks, Hugging Face's arguments and where checkpoints go. What it leaves: a trained model and,
in `state.log_history`, one entry for each report: `loss`, `learning_rate`, `grad_norm` and `tokens_per_second` since
the one before, or `eval_loss`; each with its `step`. Losses are nats a token over real tokens.

A checkpoint holds weights, optimizer, schedule, random states and the place in the data. It is written between two
steps only, and never with weights that are no numbers: so whoever goes on from it ends where an undisturbed training
ends.
"""

import json
import math
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments
from transformers.trainer import OPTIMIZER_NAME, SCHEDULER_NAME, TRAINER_STATE_NAME, TRAINING_ARGS_NAME

from tasks.errors import InputError
from tasks.modeling.blocks import IGNORED_LABEL, Blocks
from tasks.modeling.loss import mean_loss
from tasks.modeling.random_states import set_random_states, take_random_states
from tasks.modeling.saving import full_disk_explained
from tasks.modeling.schedule_callback import Clock, Conduct, Schedule
from tasks.modeling.stopping import Stop

UNREPORTED = "unreported.json"
"""File of a checkpoint: negative log-likelihood and tokens since the last entry of the history."""


class Checkpoint(Protocol):
    """A complete checkpoint."""

    @property
    def folder(self) -> Path:
        """Where it lies."""


class Checkpoints(Protocol):
    """Where checkpoints go, each complete or absent."""

    def save(self, step: int, fill: Callable[[Path], Mapping[str, Any]], *, keep: Collection[int] = ()) -> None:
        """Keep what `fill` writes to a folder as the checkpoint of `step`; those in `keep` outlive the limit."""

    def find(self, step: int) -> Checkpoint | None:
        """The complete checkpoint of a step."""


class BlockTrainer(Trainer):
    """Trains on `Blocks`; the callbacks are Hugging Face's, and hear of each step and of each entry of the history."""

    def __init__(  # noqa: PLR0913 what a training is made of
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
        """Prepare; nothing is trained yet."""
        super().__init__(
            model=model,
            args=args,
            train_dataset=train,
            data_collator=train.batch,
            callbacks=[Conduct(self, schedule, stop), *callbacks],
        )
        self.remove_callback(PrinterCallback)  # type: ignore[no-untyped-call]
        self.held_out = held_out
        self.checkpoints = checkpoints
        self._keep_best = schedule.keep_best
        self._sums = torch.zeros(2, dtype=torch.float64, device=args.device)  # negative log-likelihood, tokens
        self.clock = Clock()
        self.mark()

    def mark(self) -> None:
        """Remember what is random and what is unreported between two steps: a step that is broken off starts there."""
        self._marked = take_random_states(), self._sums.clone()

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        """On a CPU the parent would load to the device `cpu:0` of several processes, which torch does not know."""
        if checkpoint is None or self.args.device.type != "cpu":
            super()._load_optimizer_and_scheduler(checkpoint)  # type: ignore[no-untyped-call]
            return
        states: tuple[tuple[str, Any], ...] = (OPTIMIZER_NAME, self.optimizer), (SCHEDULER_NAME, self.lr_scheduler)
        for name, of in states:
            of.load_state_dict(torch.load(Path(checkpoint) / name, map_location="cpu", weights_only=True))

    def _load_rng_state(self, checkpoint: str | None) -> None:
        super()._load_rng_state(checkpoint)  # type: ignore[no-untyped-call]
        self.mark()

    @property
    def best_step(self) -> int | None:
        """The step with the lowest held-out loss so far (the earliest of equals); step 0 is no training."""
        history = self.state.log_history
        measured = [(entry["eval_loss"], int(entry["step"])) for entry in history if "eval_loss" in entry]
        trained = [(loss, step) for loss, step in measured if step]
        return min(trained)[1] if trained else None

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> torch.Tensor:
        """One batch forward and backward; its tokens and their negative log-likelihood are counted."""
        loss = super().training_step(model, inputs, num_items_in_batch)
        # The loss is (sum over this process's tokens) * processes / (tokens of the whole step).
        total = loss.detach() * num_items_in_batch / self.args.world_size
        self._sums += torch.stack([total, (inputs["labels"] != IGNORED_LABEL).sum()])
        return loss

    def floating_point_ops(self, inputs: Any) -> int:
        """Not counted: it would cost a walk over all weights each step."""
        return 0

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Keep an entry of the history; a loss that is no number ends the training."""
        if "train_runtime" in logs:
            return  # the summary at the end: it has no step of its own
        if "loss" in logs:
            logs = {**logs, **self._take_figures()}
            check_finite(logs["loss"], self.state.global_step)
        elif "eval_loss" in logs:
            check_measured(logs["eval_loss"], self.state.global_step)
        entry = {"step": self.state.global_step, **logs}
        self.state.log_history.append(entry)
        self.control = self.callback_handler.on_log(self.args, self.state, self.control, logs)

    def _take_figures(self) -> dict[str, float]:
        """Loss and speed since the last report, over all processes."""
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
        """Measure the held-out loss and keep it in the history; the first one in full precision."""
        metrics = {"eval_loss": self.measure(exactly=self.state.global_step == 0)}
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def measure(self, *, exactly: bool) -> float:
        """The held-out loss of the model as it is, in nats a token: in full precision, or in that of the training.

        A model in shards has the precision of the training only.
        """
        model: Any = self.model_wrapped if self.is_fsdp_enabled else self.model
        in_full = getattr(model, "_original_forward", None) if exactly else None  # what autocasting was put around
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
        """Save between two steps, whole or not at all."""
        if self.checkpoints is None:
            return
        with self.clock.paused():
            self._check_weights()
            best = self.best_step if self._keep_best else None
            save_together(self, keep=() if best is None else (best,))

    def write_state(self, folder: Path) -> None:
        """Write everything that going on needs to `folder`; called by every process. InputError on a full disk."""
        with full_disk_explained(folder):
            self._write_state(folder)

    def _write_state(self, folder: Path) -> None:
        place, now = str(folder), take_random_states()
        states, sums = self._marked
        self.save_model(place, _internal_call=True)
        (folder / TRAINING_ARGS_NAME).unlink(missing_ok=True)  # a pickle that nobody reads
        self._save_optimizer_and_scheduler(place)  # type: ignore[no-untyped-call]
        self._save_scaler(place)  # type: ignore[no-untyped-call]
        set_random_states(states)
        self._save_rng_state(place)  # type: ignore[no-untyped-call]
        set_random_states(now)
        unreported = self._over_all_processes(sums.clone())
        if self.args.should_save:
            self.state.save_to_json(str(folder / TRAINER_STATE_NAME))
            (folder / UNREPORTED).write_text(json.dumps(unreported.tolist()), encoding="utf-8")

    def train_from(self, checkpoint: Path | None) -> None:
        """Train from the beginning, or go on from a checkpoint, which also says what was not reported yet."""
        if checkpoint is not None and self.args.should_save:
            read = json.loads((checkpoint / UNREPORTED).read_text(encoding="utf-8"))
            self._sums = torch.tensor(read, dtype=torch.float64, device=self.args.device)
        self.train(None if checkpoint is None else str(checkpoint))

    def save_now(self) -> None:
        """Save where the training stands, also in the middle of a step."""
        self._save_checkpoint(self.model_wrapped, trial=None)

    def load_best(self) -> int | None:
        """Take the weights of the best step again, and return it; None where nothing was measured after step 0."""
        best = self.best_step
        if best is not None and best != self.state.global_step:
            found = self.checkpoints.find(best) if self.checkpoints else None
            if found is None:
                raise RuntimeError(f"the checkpoint of step {best}, whose weights are the best, is gone")
            model = self.model_wrapped if self.is_fsdp_enabled else None
            self._load_from_checkpoint(str(found.folder), model)  # type: ignore[no-untyped-call]
        return best

    def _check_weights(self) -> None:
        """A checkpoint of weights that are no numbers would fail again each time somebody goes on from it."""
        if not all(bool(weights.isfinite().all()) for weights in self._weights()):
            check_finite(math.nan, self.state.global_step)

    def _weights(self) -> Iterator[torch.Tensor]:
        assert self.model is not None
        return self.model.parameters()

    def _issue_warnings_after_load(self, load_result: Any) -> None:
        """Tied weights are stored once, so the other name is missing: that is as it should be."""
        if load_result.unexpected_keys:
            raise RuntimeError(f"the checkpoint holds weights of another model: {load_result.unexpected_keys[:3]}")


def save_together(trainer: BlockTrainer, keep: Collection[int]) -> None:
    """Save a checkpoint: the first process makes the folder, every process writes its part, then it is put in place."""
    assert trainer.checkpoints is not None

    def fill(folder: Path | None) -> Mapping[str, Any]:
        told: list[str | None] = [None if folder is None else str(folder)]
        if trainer.args.world_size > 1:
            torch.distributed.broadcast_object_list(told, src=0)
        trainer.write_state(Path(str(told[0])))
        if trainer.args.world_size > 1:
            torch.distributed.barrier()
        return {}

    if trainer.args.process_index == 0:
        trainer.checkpoints.save(trainer.state.global_step, fill, keep=keep)
    else:
        fill(None)


def check_finite(loss: float, step: int) -> None:
    """Raise InputError where a loss is no number."""
    if not math.isfinite(loss):
        raise InputError(
            f"The training loss became {loss} at step {step}: lower --training.learning-rate, and leave out "
            "--training.fp16 where it is set (GPT-Neo overflows in it; --training.bf16 does not)."
        )


def check_measured(loss: float, step: int) -> None:
    """Raise InputError where the held-out loss is no number."""
    if step == 0 and not math.isfinite(loss):
        raise InputError(f"The base model's held-out loss is {loss} before any training: its weights are damaged.")
    check_finite(loss, step)
