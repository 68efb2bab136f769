"""Fused training gives the loss and the gradients of the plain model, and never holds all logits at once."""

import copy
import inspect
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import GPT2Config, GPT2LMHeadModel, GPTNeoConfig, GPTNeoForCausalLM, GPTNeoXConfig, GPTNeoXForCausalLM

from tasks.modeling import fusing
from tasks.modeling.fusing import fuse

VOCABULARY, LENGTH, ROWS = 97, 21, 3
LABELS = ROWS * (LENGTH - 1)
"""Labels that a loss averages over, without padding."""


def make(kind: str) -> Any:
    """A random model without dropout, in training mode."""
    ends = {"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        if kind == "gpt2":
            off = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
            return GPT2LMHeadModel(GPT2Config(VOCABULARY, 64, 16, 2, 2, initializer_range=0.3, **ends, **off)).train()
        layers = [[["global", "local"], 1]]
        config = GPTNeoConfig(
            VOCABULARY, 64, 16, 2, layers, 2, window_size=8, initializer_range=0.3, attn_implementation="eager", **ends
        )
        return GPTNeoForCausalLM(config).train()


@pytest.fixture(params=["neo", "gpt2"])
def pair(request: pytest.FixtureRequest) -> tuple[Any, Any]:
    """The fused model and the plain one, with the same weights."""
    ours, theirs = make(request.param), make(request.param)
    assert fuse(ours)
    return ours, theirs


@pytest.fixture(params=[None, 1, 7])
def at_once(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of all rows of logits, of one, or of seven, which does not divide their number."""
    if request.param:
        monkeypatch.setattr(fusing, "LOGITS_AT_ONCE_ELSEWHERE", request.param * VOCABULARY)


def batch(pads: tuple[int, ...] = (0, 0, 0)) -> dict[str, Tensor]:
    """Rows with these numbers of pads on the right, whose labels do not count."""
    ids = torch.randint(1, VOCABULARY, (ROWS, LENGTH), generator=torch.Generator().manual_seed(1))
    mask = torch.arange(LENGTH) < LENGTH - torch.tensor(pads)[:, None]
    made = {"input_ids": ids.masked_fill(~mask, 0), "labels": ids.masked_fill(~mask, -100)}
    return {**made, "attention_mask": mask.long()} if any(pads) else made


PADDED = (0, 3, LENGTH - 2)


def trained(model: Any, given: dict[str, Any], scale: float = 1.0) -> tuple[Tensor, dict[str, Tensor]]:
    """The loss, and the gradients by name."""
    model.zero_grad()
    loss = model(**given).loss
    (loss * scale).backward()
    grads = {name: weight.grad for name, weight in model.named_parameters() if weight.grad is not None}
    return loss.detach().float(), {name: gradient.clone() for name, gradient in grads.items()}


def assert_same(ours: tuple[Tensor, dict[str, Tensor]], theirs: tuple[Tensor, dict[str, Tensor]], *, by: float) -> None:
    torch.testing.assert_close(ours[0], theirs[0], rtol=by, atol=by)
    assert ours[1].keys() == theirs[1].keys()
    for name, gradient in theirs[1].items():
        assert float((ours[1][name] - gradient).abs().max()) <= by * max(1.0, float(gradient.abs().max())), name


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("pads", [(0, 0, 0), PADDED])
@pytest.mark.parametrize("count", [None, 5, torch.tensor(40)])
def test_loss_and_all_gradients_are_those_of_the_plain_model(pair: tuple[Any, Any], pads: Any, count: Any) -> None:
    given = {**batch(pads), **({} if count is None else {"num_items_in_batch": count})}
    assert_same(*(trained(model, given, scale=3.0) for model in pair), by=1e-5)


def test_a_batch_without_any_label_gives_zero_and_zero_gradients(pair: tuple[Any, Any]) -> None:
    given = {**batch(), "labels": torch.full((ROWS, LENGTH), -100), "num_items_in_batch": 1}
    loss, gradients = trained(pair[0], given)
    assert loss == 0
    assert not any(bool(gradient.any()) for gradient in gradients.values())


def test_the_sum_is_exact_while_nothing_is_trained(pair: tuple[Any, Any]) -> None:
    given = batch(PADDED)
    with torch.inference_mode():
        ours = pair[0].eval()(**given, num_items_in_batch=1).loss
        logits = pair[1].double().eval()(given["input_ids"], attention_mask=given["attention_mask"]).logits
    exact = torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), given["labels"][:, 1:].flatten())
    tokens = int((given["labels"][:, 1:] != -100).sum())
    assert float(ours) / tokens == pytest.approx(float(exact), rel=1e-6)


def test_padding_on_the_left_or_with_labels_keeps_the_mask(pair: tuple[Any, Any]) -> None:
    left = torch.arange(LENGTH) >= torch.tensor(PADDED)[:, None]
    counted = torch.arange(LENGTH) < LENGTH - torch.tensor(PADDED)[:, None]
    whole = batch()
    for given in (
        {**whole, "attention_mask": left.long(), "labels": whole["labels"].masked_fill(~left, -100)},
        {**whole, "attention_mask": counted.long()},
    ):
        assert_same(*(trained(model, given) for model in pair), by=1e-5)


class Shapes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Remembers the largest number of elements with the vocabulary as their last dimension."""

    largest = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for tensor in made if isinstance(made, tuple | list) else [made]:
            if isinstance(tensor, Tensor) and tensor.dim() and tensor.shape[-1] == VOCABULARY:
                self.largest = max(self.largest, tensor.numel() // VOCABULARY)
        return made


def test_all_logits_never_exist_at_once(pair: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fusing, "LOGITS_AT_ONCE_ELSEWHERE", 5 * VOCABULARY)
    found = []
    for model in pair:
        with Shapes() as shapes:  # type: ignore[no-untyped-call]
            model(**batch()).loss.backward()
        found.append(shapes.largest)
    # A weight of GPT-2's head, transposed, has as many rows as the model is wide: 16.
    assert found[0] <= 16
    assert found[1] >= LABELS
    assert pair[0](**batch()).logits is None


def test_frozen_weights_get_no_gradient(pair: tuple[Any, Any]) -> None:
    for model in pair:
        model.lm_head.weight.requires_grad_(False)  # tied: the embeddings too
    assert_same(*(trained(model, batch(PADDED)) for model in pair), by=1e-5)
    for model in pair:
        for weights in model.parameters():
            weights.requires_grad_(False)
    assert not pair[0](**batch()).loss.requires_grad


def test_a_frozen_head_needs_no_gradient_product(pair: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    products: list[Any] = []
    monkeypatch.setattr(fusing, "_add_product", lambda *given: products.append(given))
    with torch.no_grad():
        pair[0](**batch())
    pair[0].lm_head.weight.requires_grad_(False)
    pair[0](**batch()).loss.backward()
    assert products == []


def test_adapters_are_trained_as_on_the_plain_model_and_merged(pair: tuple[Any, Any]) -> None:
    from peft import LoraConfig, get_peft_model

    targets = ["c_fc", "c_proj"]
    both = []
    for model in pair:
        torch.manual_seed(0)
        adapted = LoraConfig(
            target_modules=targets,
            init_lora_weights=False,
            fan_in_fan_out=isinstance(model, GPT2LMHeadModel),
        )
        both.append(get_peft_model(model, adapted))
    found = [trained(model, {**batch(PADDED), "num_items_in_batch": 9}) for model in both]
    assert_same(found[0], found[1], by=1e-5)
    assert found[0][1]
    assert all("lora" in name for name in found[0][1])
    ids = batch()["input_ids"]
    merged: Any = [model.merge_and_unload()(ids).logits for model in both]
    torch.testing.assert_close(merged[0], merged[1])


@pytest.mark.parametrize("reentrant", [False, True])
def test_gradient_checkpointing_gives_the_same_gradients(pair: tuple[Any, Any], reentrant: bool) -> None:
    pair[0].gradient_checkpointing_enable({"use_reentrant": reentrant})
    pair[0].enable_input_require_grads()
    assert_same(*(trained(model, batch(PADDED)) for model in pair), by=1e-5)


def test_with_autocast_the_error_is_that_of_the_plain_model(pair: tuple[Any, Any]) -> None:
    exact = trained(pair[1], batch(PADDED))
    with torch.autocast("cpu", torch.bfloat16):
        found = [trained(model, batch(PADDED)) for model in pair]
    assert all(gradient.dtype == torch.float32 for gradient in found[0][1].values())
    assert abs(found[0][0] - exact[0]) <= 0.02 * exact[0]
    ours, theirs = (
        sum(float((gradients[name] - exact[1][name]).abs().sum()) for name in exact[1]) for _, gradients in found
    )
    assert ours <= 1.3 * theirs


def test_with_bfloat16_products_the_logarithms_are_still_fp32() -> None:
    rows, head = torch.randn(2, 9, 16), torch.randn(VOCABULARY, 16)
    labels = torch.randint(VOCABULARY, (2, 9))
    with torch.autocast("cpu", torch.bfloat16):
        ours = fusing._mean_loss(rows, head, labels, None)
    logits = (rows[:, :-1].bfloat16() @ head.bfloat16().t()).float()
    torch.testing.assert_close(ours, torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels[:, 1:].flatten()))


def test_accelerate_can_wrap_and_unwrap_the_model(pair: tuple[Any, Any]) -> None:
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState

    exact = trained(pair[1], batch())
    AcceleratorState._reset_state()
    accelerator = Accelerator(cpu=True, mixed_precision="bf16")
    try:
        model = accelerator.prepare_model(pair[0])
        loss = model(**batch()).loss
        assert loss.dtype == torch.float32
        assert loss != exact[0]
        assert_same(trained(_With(model._original_forward, model), batch()), exact, by=1e-5)
        plain = accelerator.unwrap_model(model, keep_fp32_wrapper=False)
        assert plain(**batch()).logits is None
        assert_same(trained(plain, batch()), exact, by=1e-5)
    finally:
        AcceleratorState._reset_state()


class _With:
    """A model under another forward."""

    def __init__(self, forward: Any, model: Any) -> None:
        self.forward, self.model = forward, model

    def __call__(self, **given: Any) -> Any:
        return self.forward(**given)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.model, name)


@pytest.mark.slow
def test_the_compiled_model_gives_the_same(pair: tuple[Any, Any]) -> None:
    compiled = torch.compile(pair[0], backend="eager")
    for pads in ((0, 0, 0), PADDED):
        loss = compiled(**batch(pads), num_items_in_batch=torch.tensor(11)).loss  # type: ignore[no-untyped-call]
        loss.backward()
        ours = loss.detach(), {name: weight.grad for name, weight in pair[0].named_parameters()}
        assert_same(ours, trained(pair[1], {**batch(pads), "num_items_in_batch": 11}), by=1e-5)
        pair[0].zero_grad()


def test_fusing_is_idempotent(pair: tuple[Any, Any]) -> None:
    before = pair[0].forward
    assert fuse(pair[0])
    assert pair[0].forward == before


def test_a_copy_trains_its_own_weights(pair: tuple[Any, Any]) -> None:
    copied = copy.deepcopy(pair[0])
    copied.lm_head.weight.data.zero_()
    assert copied(**batch()).loss.item() == pytest.approx(torch.tensor(float(VOCABULARY)).log().item())


def test_other_architectures_are_unchanged() -> None:
    model = GPTNeoXForCausalLM(GPTNeoXConfig(VOCABULARY, 16, 1, 2, 32))
    before = dict(vars(model))
    assert not fuse(model)
    assert vars(model) == before
    assert model(**batch()).logits is not None


def test_without_labels_or_with_other_arguments_the_plain_forward_is_used(pair: tuple[Any, Any]) -> None:
    ids = batch()["input_ids"]
    for given in (
        {},
        {"use_cache": True},
        {"labels": ids, "num_items_in_batch": 7, "output_hidden_states": True},
        {"return_dict": False},
    ):
        ours, theirs = (model.eval()(ids, **given) for model in pair)
        assert type(ours) is type(theirs)
        torch.testing.assert_close(ours[0], theirs[0])
        assert len(ours) == len(theirs)
    assert inspect.signature(pair[0].forward) == inspect.signature(pair[1].forward)
    left = torch.arange(LENGTH) >= torch.tensor(PADDED)[:, None]
    ours, theirs = (model.generate(ids, attention_mask=left.long(), max_new_tokens=9) for model in pair)
    assert torch.equal(ours, theirs)


def test_the_saved_files_are_those_of_the_plain_model(pair: tuple[Any, Any], tmp_path: Path) -> None:
    for name, model in zip(("ours", "theirs"), pair, strict=True):
        model.save_pretrained(tmp_path / name)
    for name in ("config.json", "model.safetensors"):
        assert (tmp_path / "ours" / name).read_bytes() == (tmp_path / "theirs" / name).read_bytes()
    assert json.loads((tmp_path / "ours" / "config.json").read_text())["activation_function"] == "gelu_new"
