"""An interrupted training: what it leaves, and that a resumed one ends like an uninterrupted one."""

import contextlib
import math
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tasks.dataset import Row
from tasks.errors import InputError
from tasks.modeling.finetuning import Progress
from tasks.modeling.trainer import BlockTrainer
from tasks.training.checkpoints import Checkpoints
from tests.factories.models import AllCheckpoints, Trained, float64_loss, train_model, weights, without_speed
from tests.factories.waiting import no_file_larger_than

SHARED: dict[str, Any] = {
    "kind": "GPT2",
    "learning_rate": 1e-2,
    "batch_size": 2,
    "num_train_epochs": 2,
    "save_steps": 1,
}
WILD: dict[str, Any] = {"learning_rate": 0.05, "lr_scheduler_type": "constant", "eval_steps": 1}
"""The held-out loss falls and rises."""


@pytest.fixture
def go(gpt2_folder: Path, train_rows: list[Row], eval_rows: list[Row], tmp_path: Path) -> Callable[..., Trained]:
    """Train a GPT-2 with dropout; the model goes to a folder of the given name."""

    def train(name: str, **values: Any) -> Trained:
        return train_model(gpt2_folder, train_rows, eval_rows, tmp_path / name, **{**SHARED, **values})

    return train


@pytest.mark.parametrize(
    "more",
    [pytest.param({}, marks=pytest.mark.slow), {"gradient_accumulation_steps": 2, "eval_steps": 2}],
    ids=["plain", "accumulated"],
)
def test_resuming_from_any_checkpoint_ends_with_the_same_weights_and_history(
    go: Callable[..., Trained], tmp_path: Path, more: dict[str, Any]
) -> None:
    saved_checkpoints = AllCheckpoints(tmp_path / "checkpoints")
    _, undisturbed = go("undisturbed", checkpoints=saved_checkpoints, **more)
    assert sorted(saved_checkpoints.kept) == list(range(1, undisturbed.steps))
    for step in saved_checkpoints.kept:
        _, again = go(f"from-{step}", resume_from=saved_checkpoints.at(step), **more)
        assert weights(tmp_path / f"from-{step}") == weights(tmp_path / "undisturbed"), step
        assert without_speed(again.history) == without_speed(undisturbed.history), step


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("accumulated", [1, pytest.param(3, marks=pytest.mark.slow)])
def test_a_signal_stops_the_training_after_the_batch_and_loses_nothing(
    go: Callable[..., Trained], tmp_path: Path, number: int, accumulated: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    class TerminatedError(BaseException):
        pass

    def terminate(*_: object) -> None:
        raise TerminatedError

    more = {"gradient_accumulation_steps": accumulated, "num_train_epochs": 3}
    go("undisturbed", **more)
    batches = 0
    step = BlockTrainer.training_step

    def signal_in_the_fifth_batch(self: BlockTrainer, *args: Any) -> torch.Tensor:
        nonlocal batches
        batches += 1
        if batches == 5:
            os.kill(os.getpid(), number)
        return step(self, *args)

    before = signal.signal(signal.SIGTERM, terminate)
    saved_checkpoints = AllCheckpoints(tmp_path / "checkpoints")
    monkeypatch.setattr(BlockTrainer, "training_step", signal_in_the_fifth_batch)
    with pytest.raises((KeyboardInterrupt, TerminatedError)):
        go("interrupted", checkpoints=saved_checkpoints, save_steps=100, **more)
    monkeypatch.undo()
    assert signal.signal(signal.SIGTERM, before) is terminate, "the handlers are restored"
    assert (batches, list(saved_checkpoints.kept)) == (5, [5 // accumulated])
    assert not (tmp_path / "interrupted").exists()
    go("again", resume_from=saved_checkpoints.at(5 // accumulated), **more)
    assert weights(tmp_path / "again") == weights(tmp_path / "undisturbed")


def test_a_second_signal_takes_effect_at_once(go: Callable[..., Trained], monkeypatch: pytest.MonkeyPatch) -> None:
    def twice(self: BlockTrainer, *args: Any) -> torch.Tensor:
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGINT)
        pytest.fail("the second signal had no effect")

    monkeypatch.setattr(BlockTrainer, "training_step", twice)
    with pytest.raises(KeyboardInterrupt):
        go("interrupted")


def test_evaluating_and_saving_do_not_affect_the_weights(go: Callable[..., Trained], tmp_path: Path) -> None:
    go("often", eval_steps=1, checkpoints=AllCheckpoints(tmp_path / "checkpoints"))
    go("never", eval_steps=10**6, save_steps=10**6)
    assert weights(tmp_path / "often") == weights(tmp_path / "never")


def test_the_best_weights_are_kept_if_requested(
    go: Callable[..., Trained], tmp_path: Path, eval_rows: list[Row]
) -> None:
    wild = {**WILD, "save_steps": 10**6, "max_steps": 40}
    saved_checkpoints = AllCheckpoints(tmp_path / "checkpoints")
    _, best = go("best", load_best_model_at_end=True, checkpoints=saved_checkpoints, **wild)
    _, last = go("last", **wild)
    measured = {entry["step"]: entry["eval_loss"] for entry in best.history if "eval_loss" in entry}
    assert best.best_step == min((loss, step) for step, loss in measured.items() if step)[1] < best.steps
    assert best.loss_after == pytest.approx(measured[best.best_step], rel=1e-6)
    assert best.loss_after < last.loss_after
    assert float64_loss(tmp_path / "best", eval_rows) == pytest.approx(best.loss_after, rel=1e-6)
    assert all(keep == (step,) for step, keep in saved_checkpoints.kept.items()), "each is the best when it is saved"


def test_training_ends_early_when_the_loss_has_not_fallen_for_long_enough(go: Callable[..., Trained]) -> None:
    _, outcome = go("model", early_stopping_patience=3, max_steps=200, **WILD)
    measured = [entry["eval_loss"] for entry in outcome.history if "eval_loss" in entry and entry["step"]]
    assert outcome.steps < 200
    assert len(measured) == outcome.steps
    assert min(measured) == measured[-4]


def test_a_checkpoint_never_has_nan_weights(
    go: Callable[..., Trained], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = BlockTrainer.training_step

    def damaging(self: BlockTrainer, model: Any, *args: Any) -> torch.Tensor:
        loss = step(self, model, *args)
        if self.state.global_step == 3:
            next(model.parameters()).grad.fill_(math.nan)
        return loss

    monkeypatch.setattr(BlockTrainer, "training_step", damaging)
    saved_checkpoints = AllCheckpoints(tmp_path / "checkpoints")
    with pytest.raises(InputError, match=r"became nan at step 4: lower --training\.learning-rate"):
        go("model", checkpoints=saved_checkpoints)
    assert list(saved_checkpoints.kept) == [1, 2, 3]


@pytest.mark.parametrize("limit", [2_000, 50_000, 150_000], ids=["model", "optimizer", "tail of the optimizer"])
def test_a_full_disk_is_an_input_error_and_earlier_checkpoints_are_kept(
    neo_folder: Path, train_rows: list[Row], eval_rows: list[Row], tmp_path: Path, limit: int
) -> None:
    checkpoints = Checkpoints("k" * 64, limit=5)
    saved: list[int] = []

    def fill_the_disk(progress: Progress) -> None:
        if progress.step == 2 and progress.entry is None:
            saved.extend(step for step in range(9) if checkpoints.find(step))
            full.enter_context(no_file_larger_than(limit))

    with contextlib.ExitStack() as full, pytest.raises(InputError, match="The disk is full"):
        train_model(
            neo_folder, train_rows, eval_rows, tmp_path / "model", checkpoints=checkpoints,
            on_progress=fill_the_disk, max_steps=6, save_steps=1,
        )  # fmt: skip
    assert saved == [1]
    newest = checkpoints.newest()
    assert newest is not None
    assert newest.step == 1
    assert [path.name for path in checkpoints.folder.iterdir()] == ["step-0000000001"]
    assert not (tmp_path / "model").exists()


def test_progress_resumes_at_the_step_of_the_checkpoint(go: Callable[..., Trained], tmp_path: Path) -> None:
    saved_checkpoints = AllCheckpoints(tmp_path / "checkpoints")
    go("undisturbed", checkpoints=saved_checkpoints)
    reported: list[Progress] = []
    _, outcome = go("again", resume_from=saved_checkpoints.at(3), on_progress=reported.append)
    assert sorted({one.step for one in reported}) == list(range(4, outcome.steps + 1))
