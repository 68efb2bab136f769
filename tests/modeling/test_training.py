"""Training: what it trains on, what it reports, and that it is reproducible."""

import errno
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from tasks.dataset import Row
from tasks.errors import InputError
from tasks.modeling.base_models import build_from_scratch
from tasks.modeling.blocks import Blocks
from tasks.modeling.finetuning import Progress, finetune
from tasks.modeling.happy import TunableGeneration
from tasks.parameters import SamplingParameters, TrainingParameters
from tasks.stage.folders import make_folder
from tests.factories.models import FITTING, SHAPE, Trained, float64_loss, train_model, weights
from tests.factories.rows import blocks_of
from tests.factories.waiting import no_file_larger_than


def test_the_loss_before_is_that_of_the_untouched_model(
    neo_folder: Path, eval_rows: list[Row], train: Callable[..., Trained]
) -> None:
    _, outcome = train(learning_rate=1e-2, max_steps=3)
    assert outcome.loss_before == pytest.approx(float64_loss(neo_folder, eval_rows), rel=1e-6)


def test_the_loss_after_is_that_of_the_saved_model(
    eval_rows: list[Row], train: Callable[..., Trained], tmp_path: Path
) -> None:
    _, outcome = train(learning_rate=1e-2, max_steps=3)
    assert outcome.loss_after == pytest.approx(float64_loss(tmp_path / "model", eval_rows), rel=1e-6)
    assert outcome.loss_after < outcome.loss_before


def test_it_trains_on_the_rows_as_they_are(train: Callable[..., Trained], train_rows: list[Row]) -> None:
    generator, _ = train(max_steps=1)
    assert generator.trainer is not None
    blocks = generator.trainer.train_dataset
    assert isinstance(blocks, Blocks)
    assert blocks.ids.tolist() == [row["input_ids"] for row in train_rows]
    assert blocks.lengths.tolist() == [sum(row["attention_mask"]) for row in train_rows]


def test_held_out_rows_have_no_influence_on_the_weights(
    neo_folder: Path, train_rows: list[Row], eval_rows: list[Row], tmp_path: Path
) -> None:
    for folder, held_out in (("a", eval_rows), ("b", eval_rows[:1])):
        train_model(neo_folder, train_rows, held_out, tmp_path / folder, max_steps=2)
    assert weights(tmp_path / "a") == weights(tmp_path / "b")


def test_same_seed_same_weights_bit_by_bit_and_another_seed_others(
    gpt2_folder: Path, train_rows: list[Row], eval_rows: list[Row], tmp_path: Path
) -> None:
    go = partial(train_model, gpt2_folder, train_rows, eval_rows, kind="GPT2", num_train_epochs=1)
    torch.manual_seed(1)
    go(tmp_path / "a", seed=5)
    torch.manual_seed(2)  # what ran before in this process has no influence
    go(tmp_path / "b", seed=5)
    go(tmp_path / "c", seed=6)
    assert weights(tmp_path / "a") == weights(tmp_path / "b")
    assert weights(tmp_path / "a") != weights(tmp_path / "c")


def test_after_training_the_model_is_in_eval_mode(
    gpt2_folder: Path, train_rows: list[Row], eval_rows: list[Row], tmp_path: Path
) -> None:
    generator, _ = train_model(gpt2_folder, train_rows, eval_rows, tmp_path / "model", kind="GPT2", max_steps=1)
    assert not generator.model.training
    ids = torch.tensor([train_rows[0]["input_ids"]])
    with torch.no_grad():
        once, again = generator.model(ids).logits, generator.model(ids).logits
    assert torch.equal(once, again)


def test_a_failed_training_leaves_the_model_in_eval_mode(gpt2: TunableGeneration, train_rows: list[Row]) -> None:
    blocks = blocks_of(train_rows)

    class InterruptedTrainingError(Exception):
        pass

    def stop(progress: Progress) -> None:
        raise InterruptedTrainingError

    go = partial(finetune, gpt2, blocks, blocks, Path("nowhere"), training=TrainingParameters(), recipe=FITTING)
    with pytest.raises(InterruptedTrainingError):
        go(on_progress=stop)
    assert not gpt2.model.training


def test_the_history_is_complete_and_progress_is_reported_at_each_step(
    neo: TunableGeneration, train_rows: list[Row], eval_rows: list[Row], tmp_path: Path
) -> None:
    reported: list[Progress] = []
    go = partial(finetune, neo, blocks_of(train_rows), blocks_of(eval_rows), tmp_path / "model", recipe=FITTING)
    outcome = go(training=TrainingParameters(max_steps=20), on_progress=reported.append)
    logged = [entry for entry in outcome.history if "loss" in entry]
    assert [entry["step"] for entry in logged] == list(range(1, 21))
    names = {"step", "loss", "learning_rate", "grad_norm", "tokens_per_second"}
    assert all(set(one) == names for one in logged)
    assert logged[-1]["loss"] < logged[0]["loss"]
    assert [entry["step"] for entry in outcome.history if "eval_loss" in entry] == list(range(0, 21, 2))
    assert [one.step for one in reported if one.entry is None] == list(range(1, 21))
    assert [one.entry for one in reported if one.entry is not None] == outcome.history
    assert {one.steps for one in reported} == {20}


@pytest.mark.parametrize("lora_rank", [None, 2])
def test_samples_during_training_do_not_affect_the_weights(
    gpt2_folder: Path, train_rows: list[Row], eval_rows: list[Row], tmp_path: Path, lora_rank: int | None
) -> None:
    sampling = SamplingParameters(prompts=("you can", "we", "anyone", "more"), num_samples=3, max_length=5)
    written: dict[int, tuple[tuple[str, str], ...]] = {}

    def watch(progress: Progress) -> None:
        if progress.samples:
            written[progress.step] = progress.samples

    values: dict[str, Any] = {
        "max_steps": 4,
        "eval_steps": 2,
        "lora_rank": lora_rank,
        "learning_rate": 3e-2,
        "kind": "GPT2",
    }
    seen, _ = train_model(
        gpt2_folder, train_rows, eval_rows, tmp_path / "a", sampling=sampling, on_progress=watch, **values
    )
    unseen, _ = train_model(gpt2_folder, train_rows, eval_rows, tmp_path / "b", **values)
    assert set(written) == {0, 2, 4}
    assert [prompt for prompt, _ in written[0]] == ["you can", "we", "anyone"]
    assert written[0] != written[4]
    for one, other in zip(seen.model.parameters(), unseen.model.parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_nan_loss_is_an_input_error(train: Callable[..., Trained], tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"The training loss became .* lower --training\.learning-rate"):
        train(learning_rate=1, max_grad_norm=1e30, weight_decay=1e4, max_steps=30)
    assert not (tmp_path / "model").exists()


def test_a_base_model_with_damaged_weights_is_an_input_error(
    neo: TunableGeneration, train_rows: list[Row], tmp_path: Path
) -> None:
    with torch.no_grad():
        next(neo.model.parameters()).fill_(math.inf)
    blocks = blocks_of(train_rows)
    go = partial(finetune, neo, blocks, blocks, tmp_path / "model", recipe=FITTING)
    with pytest.raises(InputError, match="before any training: its weights are damaged"):
        go(training=TrainingParameters(max_steps=1))


def test_pads_are_not_learned_and_the_end_of_text_is(all_rows: list[Row], neo: TunableGeneration) -> None:
    padded = all_rows[-1]
    real = sum(padded["attention_mask"])
    assert real < len(padded["labels"])
    end = neo.tokenizer.eos_token_id
    assert padded["labels"][real - 1] == padded["input_ids"][real] == end  # the pad is the same token
    row = {name: torch.tensor([values]) for name, values in padded.items()}
    bare = {name: torch.tensor([values[:real]]) for name, values in padded.items()}
    with torch.no_grad():
        assert float(neo.model(**row).loss) == pytest.approx(float(neo.model(**bare).loss), rel=1e-6)


@pytest.mark.parametrize("limit", [2_000, 60_000], ids=["model", "tokenizer"])
def test_a_full_disk_while_saving_is_an_input_error(neo: TunableGeneration, tmp_path: Path, limit: int) -> None:
    with pytest.raises(InputError, match=r"The disk is full: .*model"), no_file_larger_than(limit):
        neo.save(tmp_path / "model")


def test_a_full_disk_while_a_preset_is_built_leaves_nothing(texts: list[str], tmp_path: Path) -> None:
    def fill(folder: Path) -> dict[str, int]:
        build_from_scratch(SHAPE, texts, folder, seed=0)
        return {}

    with pytest.raises(InputError, match="The disk is full"), no_file_larger_than(60_000):
        make_folder(tmp_path / "base" / "key", fill)
    assert list((tmp_path / "base").iterdir()) == []


def test_another_error_while_saving_is_not_reported_as_a_full_disk(neo: TunableGeneration, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError, match="Not a directory") as raised:
        neo.save(tmp_path / "file" / "model")
    assert raised.value.errno == errno.ENOTDIR
