"""LoRA trains adapters only, and the result is a plain model."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from tasks.dataset import Row
from tasks.errors import InputError
from tasks.modeling.adapters import TARGETS, add_adapters, merge_adapters
from tasks.modeling.happy import TunableGeneration
from tasks.parameters import TrainingParameters
from tests.factories.models import AllCheckpoints, Trained, float64_loss, train_model, weights, without_speed

LORA: dict[str, Any] = {"lora_rank": 2, "learning_rate": 1e-2, "max_steps": 6, "batch_size": 2}


@pytest.fixture(params=["GPT-NEO", "GPT2"])
def go(
    request: pytest.FixtureRequest, train_rows: list[Row], eval_rows: list[Row], tmp_path: Path
) -> Callable[..., Trained]:
    base = request.getfixturevalue("neo_folder" if request.param == "GPT-NEO" else "gpt2_folder")

    def train(name: str, **values: Any) -> Trained:
        return train_model(base, train_rows, eval_rows, tmp_path / name, kind=request.param, **{**LORA, **values})

    return train


def test_the_saved_model_is_plain_and_has_the_reported_loss(
    go: Callable[..., Trained], eval_rows: list[Row], tmp_path: Path
) -> None:
    generator, outcome = go("model")
    assert not [path.name for path in (tmp_path / "model").iterdir() if "adapter" in path.name]
    assert not [name for name in generator.model.state_dict() if "lora" in name]
    assert outcome.loss_after < outcome.loss_before
    assert float64_loss(tmp_path / "model", eval_rows) == pytest.approx(outcome.loss_after, rel=1e-5)


def test_only_the_named_layers_change(neo: TunableGeneration, go: Callable[..., Trained], tmp_path: Path) -> None:
    generator, _ = go("model", lora_target_modules=("c_fc",))
    before = AutoModelForCausalLM.from_pretrained(generator.model_name).state_dict()
    after = AutoModelForCausalLM.from_pretrained(tmp_path / "model").state_dict()
    changed = {name for name, value in after.items() if not torch.equal(value, before[name])}
    assert changed == {name for name in after if name.endswith("mlp.c_fc.weight")}


@pytest.mark.parametrize(("kind", "folder"), [("gpt_neo", "neo_folder"), ("gpt2", "gpt2_folder")])
def test_by_default_every_projection_gets_adapters_of_the_given_rank_and_alpha(
    kind: str, folder: str, request: pytest.FixtureRequest
) -> None:
    model = AutoModelForCausalLM.from_pretrained(request.getfixturevalue(folder))
    adapted = add_adapters(model, TrainingParameters(lora_rank=4))
    layers = {name.split(".lora_A")[0]: value for name, value in adapted.named_parameters() if ".lora_A" in name}
    assert {name.rpartition(".")[2] for name in layers} == set(TARGETS[kind])
    assert {value.shape[0] for value in layers.values()} == {4}
    assert {module.scaling["default"] for module in adapted.modules() if hasattr(module, "scaling")} == {2.0}
    trained = [name for name, value in adapted.named_parameters() if value.requires_grad]
    assert trained
    assert all("lora_" in name for name in trained)


def test_merging_changes_no_output(gpt2: TunableGeneration) -> None:
    ids = torch.arange(20)[None]
    adapted = add_adapters(gpt2.model, TrainingParameters(lora_rank=2, lora_alpha=8)).eval()
    with torch.no_grad():
        for name, value in adapted.named_parameters():
            if "lora_B" in name:
                value.normal_(std=0.1)
        wanted = adapted(ids).logits
        assert torch.allclose(merge_adapters(adapted)(ids).logits, wanted, atol=1e-5)


def test_a_resumed_training_ends_with_the_same_weights(go: Callable[..., Trained], tmp_path: Path) -> None:
    saved_checkpoints = AllCheckpoints(tmp_path / "checkpoints")
    _, undisturbed = go("undisturbed", checkpoints=saved_checkpoints, save_steps=2, lora_dropout=0.2)
    _, again = go("again", resume_from=saved_checkpoints.at(4), lora_dropout=0.2)
    assert weights(tmp_path / "again") == weights(tmp_path / "undisturbed")
    assert without_speed(again.history) == without_speed(undisturbed.history)


def test_a_missing_layer_is_an_input_error_that_names_others(neo: TunableGeneration) -> None:
    with pytest.raises(
        InputError, match=r"--training\.lora-target-modules nowhere: .* for example c_fc, c_proj, k_proj"
    ):
        add_adapters(neo.model, TrainingParameters(lora_rank=2, lora_target_modules=("nowhere",)))
