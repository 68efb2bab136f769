"""Each training parameter takes effect (those of preprocessed data are in test_tokens)."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tasks.dataset import Row
from tasks.errors import InputError
from tasks.modeling.devices import check_device, choose_precision, explain_out_of_memory
from tasks.modeling.happy import TunableGeneration
from tasks.modeling.recipes import FROM_SCRATCH, TARGET_STEPS, choose_recipe
from tasks.parameters import TrainingParameters
from tests.factories.models import Trained, float64_loss, train_model

UNUSUAL: dict[str, Any] = {
    "learning_rate": 7e-3,
    "num_train_epochs": 2.0,
    "batch_size": 4,
    "weight_decay": 0.125,
    "adam_beta1": 0.75,
    "adam_beta2": 0.5,
    "adam_epsilon": 1e-3,
    "max_grad_norm": 0.25,
    "gradient_accumulation_steps": 2,
    "lr_scheduler_type": "constant_with_warmup",
    "warmup_ratio": 0.5,
    "seed": 7,
}
HAPPY_DEFAULTS: dict[str, Any] = {
    "learning_rate": 5e-5,
    "num_train_epochs": 3.0,
    "batch_size": 1,
    "weight_decay": 0.0,
    "adam_beta1": 0.9,
    "adam_beta2": 0.999,
    "adam_epsilon": 1e-8,
    "max_grad_norm": 1.0,
    "gradient_accumulation_steps": 1,
    "lr_scheduler_type": "linear",
    "warmup_ratio": 0.0,
    "seed": 42,
}


@pytest.fixture(scope="module", params=[UNUSUAL, {}], ids=["unusual", "defaults"])
def trained(
    request: pytest.FixtureRequest,
    neo_folder: Path,
    train_rows: list[Row],
    eval_rows: list[Row],
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[dict[str, Any], Trained]:
    """The requested parameters (or Happy Transformer's defaults), and the training that ran."""
    folder = tmp_path_factory.mktemp("trained") / "model"
    return request.param or HAPPY_DEFAULTS, train_model(neo_folder, train_rows, eval_rows, folder, **request.param)


def live_groups(generator: TunableGeneration) -> list[dict[str, Any]]:
    assert generator.trainer is not None
    assert generator.trainer.optimizer is not None
    groups: list[dict[str, Any]] = generator.trainer.optimizer.param_groups
    return groups


@pytest.mark.parametrize(
    ("name", "in_group"),
    [
        ("learning_rate", lambda group: group["initial_lr"]),
        ("adam_beta1", lambda group: group["betas"][0]),
        ("adam_beta2", lambda group: group["betas"][1]),
        ("adam_epsilon", lambda group: group["eps"]),
    ],
)
def test_each_parameter_reaches_the_optimizer(
    trained: tuple[dict[str, Any], Trained], name: str, in_group: Callable[[dict[str, Any]], float]
) -> None:
    wanted, (generator, _) = trained
    assert {in_group(group) for group in live_groups(generator)} == {wanted[name]}


def test_the_optimizer_decays_matrices_and_not_biases(trained: tuple[dict[str, Any], Trained]) -> None:
    wanted, (generator, _) = trained
    decays = {group["weight_decay"] for group in live_groups(generator) for p in group["params"] if p.dim() > 1}
    assert decays == {wanted["weight_decay"]}


@pytest.mark.parametrize(
    ("name", "argument"),
    [
        ("batch_size", "per_device_train_batch_size"),
        ("max_grad_norm", "max_grad_norm"),
        ("gradient_accumulation_steps", "gradient_accumulation_steps"),
        ("lr_scheduler_type", "lr_scheduler_type"),
        ("warmup_ratio", "warmup_ratio"),
        ("seed", "seed"),
        ("seed", "data_seed"),
    ],
)
def test_each_parameter_reaches_the_trainer(trained: tuple[dict[str, Any], Trained], name: str, argument: str) -> None:
    wanted, (generator, _) = trained
    assert generator.trainer is not None
    assert getattr(generator.trainer.args, argument) == wanted[name]


def test_epochs_and_batch_size_give_the_number_of_steps(
    trained: tuple[dict[str, Any], Trained], train_rows: list[Row]
) -> None:
    wanted, (_, outcome) = trained
    steps_per_epoch = -(-len(train_rows) // (wanted["batch_size"] * wanted["gradient_accumulation_steps"]))
    assert (outcome.steps, outcome.epochs) == (steps_per_epoch * wanted["num_train_epochs"], wanted["num_train_epochs"])


def test_max_steps_overrides_epochs(train: Callable[..., Trained]) -> None:
    _, outcome = train(max_steps=2, num_train_epochs=50)
    assert outcome.steps == 2


def test_gradients_are_clipped_to_max_grad_norm(neo_folder: Path, train: Callable[..., Trained]) -> None:
    # With these values one step of AdamW moves the weights by learning_rate times the (clipped) gradient.
    generator, _ = train(learning_rate=1, adam_beta1=0, adam_epsilon=1, max_grad_norm=1e-2, max_steps=1)
    before = TunableGeneration("GPT-NEO", str(neo_folder)).model.state_dict()
    moved = [(value.detach() - before[name]).pow(2).sum() for name, value in generator.model.named_parameters()]
    assert float(torch.stack(moved).sum().sqrt()) == pytest.approx(1e-2, rel=0.02)


def test_fp16_without_cuda_is_an_input_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match=r"--training\.fp16 needs a CUDA GPU"):
        check_device(TrainingParameters(fp16=True))
    check_device(TrainingParameters())


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_half_precision_trains_on_a_gpu(train: Callable[..., Trained], precision: str) -> None:
    generator, outcome = train(**{precision: True}, learning_rate=1e-2, num_train_epochs=10)
    assert generator.trainer is not None
    assert generator.trainer.accelerator.mixed_precision == outcome.precision == precision
    assert outcome.loss_after < outcome.loss_before


@pytest.mark.parametrize("hardware", [False, True])
def test_bf16_is_used_by_default_if_the_hardware_supports_it(monkeypatch: pytest.MonkeyPatch, hardware: bool) -> None:
    monkeypatch.setattr("tasks.modeling.devices._has_bf16", lambda: hardware)
    assert choose_precision(TrainingParameters()) == ("bf16" if hardware else "fp32")
    assert choose_precision(TrainingParameters(bf16=True)) == "bf16"
    assert choose_precision(TrainingParameters(bf16=False)) == "fp32"
    assert choose_precision(TrainingParameters(fp16=True)) == "fp16"


def test_bf16_trains_and_the_reported_losses_are_those_of_full_precision(
    train: Callable[..., Trained], neo_folder: Path, eval_rows: list[Row], tmp_path: Path
) -> None:
    _, full = train(bf16=False, learning_rate=1e-2, max_steps=3)
    (tmp_path / "model").rename(tmp_path / "full")
    generator, half = train(bf16=True, learning_rate=1e-2, max_steps=3)
    assert (full.precision, half.precision) == ("fp32", "bf16")
    assert [entry["loss"] for entry in half.history if "loss" in entry] != [
        entry["loss"] for entry in full.history if "loss" in entry
    ]
    assert half.loss_before == pytest.approx(float64_loss(neo_folder, eval_rows), rel=1e-6)
    assert half.loss_after == pytest.approx(float64_loss(tmp_path / "model", eval_rows), rel=1e-6)
    assert {value.dtype for value in generator.model.state_dict().values()} == {torch.float32}
    (tmp_path / "model").rename(tmp_path / "half")
    _, again = train(bf16=False, learning_rate=1e-2, max_steps=3)
    assert again.loss_after == full.loss_after, "the precision of one training does not affect the next"


def test_accumulated_batches_make_the_step_of_one_large_batch(train: Callable[..., Trained], tmp_path: Path) -> None:
    # The rows have different numbers of real tokens: a mean of means would be another loss.
    shared = {"learning_rate": 1e-2, "max_steps": 4, "adam_epsilon": 1.0}  # no signs of tiny gradients
    one, _ = train(batch_size=6, **shared)
    (tmp_path / "model").rename(tmp_path / "one")
    many, _ = train(batch_size=2, gradient_accumulation_steps=3, **shared)
    pairs = zip(one.model.parameters(), many.model.parameters(), strict=True)
    assert max(float((a - b).detach().abs().max()) for a, b in pairs) < 1e-5


def test_gradient_checkpointing_trains_the_same_model(train: Callable[..., Trained], tmp_path: Path) -> None:
    plain, _ = train(learning_rate=1e-2, max_steps=3)
    (tmp_path / "model").rename(tmp_path / "plain")
    saving, _ = train(learning_rate=1e-2, max_steps=3, gradient_checkpointing=True)
    assert saving.model.is_gradient_checkpointing
    pairs = zip(plain.model.parameters(), saving.model.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


@pytest.mark.slow
def test_a_compiled_model_trains_the_same(train: Callable[..., Trained], tmp_path: Path) -> None:
    _, plain = train(learning_rate=1e-2, max_steps=3)
    (tmp_path / "model").rename(tmp_path / "plain")
    generator, compiled = train(learning_rate=1e-2, max_steps=3, torch_compile=True)
    assert generator.trainer is not None
    assert type(generator.trainer.model_wrapped).__name__ == "OptimizedModule"
    assert compiled.loss_after == pytest.approx(plain.loss_after, rel=1e-4)
    saved, wanted = ({path.name for path in (tmp_path / name).iterdir()} for name in ("model", "plain"))
    assert saved == wanted


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), InputError),
        (MemoryError(), InputError),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate"), InputError),
        (RuntimeError("shape mismatch"), RuntimeError),
    ],
)
def test_an_out_of_memory_error_says_what_to_change(error: Exception, expected: type[Exception]) -> None:
    with pytest.raises(expected) as raised, explain_out_of_memory(TrainingParameters(), batch_size=4, block_size=512):
        raise error
    if expected is InputError:
        for flag in (
            "--training.batch-size 2 --training.gradient-accumulation-steps 2", "--training.gradient-checkpointing",
            "--tokens.block-size 256", "--training.lora-rank 8", "--plan",
        ):  # fmt: skip
            assert flag in str(raised.value)


def test_a_real_out_of_memory_error_is_an_input_error() -> None:
    with (
        pytest.raises(InputError, match="too little memory"),
        explain_out_of_memory(TrainingParameters(), batch_size=1, block_size=8),
    ):
        torch.empty(2**46, dtype=torch.uint8)


def test_a_pretrained_model_gets_happy_transformers_learning_rate_and_batch() -> None:
    recipe = choose_recipe(TrainingParameters(), preset=None, blocks=10_000)
    assert (recipe.learning_rate, recipe.batch_size) == (5e-5, 1)
    assert (recipe.lr_scheduler_type, recipe.warmup_ratio) == ("linear", 0.0)


@pytest.mark.parametrize("preset", FROM_SCRATCH)
def test_a_preset_has_its_own_recipe_and_explicit_parameters_override_it(preset: str) -> None:
    assert choose_recipe(TrainingParameters(), preset=preset, blocks=10**6) == FROM_SCRATCH[preset]
    named = choose_recipe(TrainingParameters(learning_rate=1e-5, batch_size=99), preset=preset, blocks=10)
    assert (named.learning_rate, named.batch_size) == (1e-5, 99)


def test_a_small_corpus_gets_a_smaller_batch_for_enough_steps() -> None:
    training = TrainingParameters()
    recipe = choose_recipe(training, preset="scratch-tiny", blocks=TARGET_STEPS)
    assert recipe.batch_size == training.num_train_epochs
