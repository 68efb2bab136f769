"""GPT-Neo's fused attention equals the eager one up to rounding: forward and backward, padded, cached and masked."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, DynamicCache, GPTNeoConfig, GPTNeoForCausalLM

from tasks.modeling.attention import GPTNeoSdpaAttention, _cached_visible, _finite

WINDOW = 8
BELOW, ABOVE = 6, 21
"""Lengths within a local layer's window, and beyond it."""
Pair = tuple[Any, Any]


def make(**changes: Any) -> Any:
    """A random model of two pairs of layers; its scores are large enough for an error in the mask to show."""
    config = GPTNeoConfig(
        vocab_size=50, hidden_size=16, num_layers=4, attention_types=[[["global", "local"], 2]], num_heads=2,
        max_position_embeddings=64, window_size=WINDOW, initializer_range=0.3, bos_token_id=0, eos_token_id=0,
        pad_token_id=0, **changes,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return GPTNeoForCausalLM(config).eval()


@pytest.fixture
def pair() -> Pair:
    """The fused model and the eager one, with the same weights."""
    return make(), make(attn_implementation="eager")


@pytest.fixture(autouse=True)
def fresh_masks() -> None:
    _cached_visible.cache_clear()


def draw(length: int, rows: int = 3) -> Tensor:
    return torch.randint(1, 50, (rows, length), generator=torch.Generator().manual_seed(1))


def pad(length: int, side: str) -> Tensor:
    """Rows without pads, with some, and with more than a window of them if the length allows."""
    mask = torch.ones(3, length, dtype=torch.long)
    for row, pads in ((1, 3), (2, min(WINDOW + 3, length - 1))):
        mask[row, slice(0, pads) if side == "left" else slice(length - pads, None)] = 0
    return mask


def gradients(model: Any, ids: Tensor, mask: Tensor | None = None) -> tuple[Tensor, dict[str, Tensor]]:
    """Logits at the real tokens, and all gradients of their loss."""
    real = torch.ones_like(ids) if mask is None else mask
    model.zero_grad()
    output = model(ids, attention_mask=mask, labels=ids.masked_fill(real == 0, -100))
    # With pads on the left, the last one would predict the first real token, and what a pad sees is undefined.
    wanted = (real[:, :-1] * real[:, 1:]).bool()
    chosen = output.logits[:, :-1].log_softmax(-1).gather(2, ids[:, 1:, None])[..., 0]
    (-chosen[wanted].mean()).backward()
    named = {name: weight.grad for name, weight in model.named_parameters()}
    assert all(gradient is not None for gradient in named.values())
    return output.logits[real.bool()].detach(), {name: g.clone() for name, g in named.items() if g is not None}


def assert_same(
    ours: tuple[Tensor, dict[str, Tensor]], theirs: tuple[Tensor, dict[str, Tensor]], *, rtol: float
) -> None:
    torch.testing.assert_close(ours[0], theirs[0], rtol=rtol, atol=rtol)
    for name, gradient in theirs[1].items():
        assert float((ours[1][name] - gradient).abs().max()) <= rtol * float(gradient.abs().max().clamp(min=1)), name


def test_every_layer_is_fused_unless_eager_is_requested_and_stores_no_mask(pair: Pair) -> None:
    ours, theirs = ({type(block.attn.attention) for block in model.transformer.h} for model in pair)
    assert ours == {GPTNeoSdpaAttention}
    assert GPTNeoSdpaAttention not in theirs
    assert not [name for name, _ in pair[0].named_buffers() if name.endswith(".bias")]


@pytest.mark.parametrize("length", [1, BELOW, WINDOW, WINDOW + 1, ABOVE])
def test_logits_and_all_gradients_are_those_of_the_eager_model(pair: Pair, length: int) -> None:
    if length == 1:
        torch.testing.assert_close(*(model(draw(1)).logits for model in pair))
        return
    assert_same(*(gradients(model, draw(length)) for model in pair), rtol=1e-5)


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("length", [BELOW, ABOVE])
def test_padding_on_either_side_changes_no_result_and_gives_no_nan(pair: Pair, side: str, length: int) -> None:
    mask = pad(length, side)
    assert_same(*(gradients(model, draw(length), mask) for model in pair), rtol=1e-5)
    assert bool(pair[0](draw(length), attention_mask=mask).logits.isfinite().all())


def test_the_ids_of_pads_do_not_affect_real_tokens(pair: Pair) -> None:
    mask = pad(ABOVE, "left")
    others = draw(ABOVE).masked_fill(mask == 0, 7)
    ours, theirs = (pair[0](ids, attention_mask=mask).logits[mask.bool()] for ids in (draw(ABOVE), others))
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6)


@pytest.mark.parametrize("step", [1, 3, WINDOW + 1])
@pytest.mark.parametrize("padded", [False, True])
def test_step_by_step_with_a_cache_equals_one_pass(pair: Pair, step: int, padded: bool) -> None:
    ids, mask = draw(ABOVE), pad(ABOVE, "left") if padded else None
    cache, found = DynamicCache(), []
    with torch.no_grad():
        for begin in range(0, ABOVE, step):
            end = min(begin + step, ABOVE)
            seen = None if mask is None else mask[:, :end]
            found.append(pair[0](ids[:, begin:end], attention_mask=seen, past_key_values=cache, use_cache=True).logits)
        whole = pair[1](ids, attention_mask=mask).logits
    real = torch.ones(3, ABOVE, dtype=torch.bool) if mask is None else mask.bool()
    torch.testing.assert_close(torch.cat(found, 1)[real], whole[real], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("padded", [False, True])
def test_generation_writes_the_same_tokens(pair: Pair, padded: bool) -> None:
    mask = pad(ABOVE, "left") if padded else torch.ones(3, ABOVE, dtype=torch.long)
    options: dict[str, Any] = dict(attention_mask=mask, do_sample=False, max_new_tokens=15)
    ours, theirs = (model.generate(draw(ABOVE), **options) for model in pair)
    assert torch.equal(ours, theirs)


def test_gradient_checkpointing_gives_the_same_gradients(pair: Pair) -> None:
    mask = pad(ABOVE, "right")
    for reentrant in (False, True):
        pair[0].gradient_checkpointing_enable({"use_reentrant": reentrant})
        pair[0].enable_input_require_grads()
        assert_same(
            gradients(pair[0].train(), draw(ABOVE), mask), gradients(pair[1].train(), draw(ABOVE), mask), rtol=1e-5
        )


def test_head_masks_and_attention_weights_are_those_of_the_eager_model(pair: Pair) -> None:
    heads = torch.tensor([[1.0, 0.0], [0.5, 1.0], [0.0, 0.0], [1.0, 1.0]])
    for options in (dict(head_mask=heads), dict(attention_mask=pad(ABOVE, "right")), dict[str, Tensor]()):
        ours, theirs = (model(draw(ABOVE), output_attentions=True, **options) for model in pair)
        torch.testing.assert_close(ours.attentions, theirs.attentions)
    torch.testing.assert_close(*(model(draw(ABOVE), head_mask=heads).logits for model in pair))


def test_a_model_in_bfloat16_and_one_that_autocasts_come_close(pair: Pair) -> None:
    exact = gradients(pair[1], draw(ABOVE), pad(ABOVE, "right"))[0]
    with torch.autocast("cpu", torch.bfloat16):
        ours, theirs = (gradients(model, draw(ABOVE), pad(ABOVE, "right"))[0].float() for model in pair)
    # Both differ from the exact logits by the precision of bfloat16 (8 bits).
    assert (ours - exact).abs().mean() <= 1.5 * (theirs - exact).abs().mean()
    halves = pair[0].to(torch.bfloat16)(draw(ABOVE), attention_mask=pad(ABOVE, "left")).logits
    assert bool(halves.isfinite().all())


def test_masks_are_computed_once_for_all_layers_and_steps(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    count_calls("_compute_visible", made, monkeypatch)
    count_calls("_combine", made, monkeypatch)
    with torch.inference_mode():
        pair[0](draw(ABOVE))  # an evaluation comes first
    for _ in range(2):
        gradients(pair[0], draw(ABOVE))
    assert made == ["_compute_visible"]
    gradients(pair[0], draw(ABOVE), pad(ABOVE, "right"))
    assert made.count("_combine") == 2  # one for global layers, one for local ones
    made.clear()
    gradients(pair[0], draw(WINDOW))
    assert made == []


def test_a_mask_computed_in_an_evaluation_works_in_training(pair: Pair) -> None:
    with torch.inference_mode():
        pair[0](draw(ABOVE), output_attentions=True)
    pair[0](draw(ABOVE), output_attentions=True).logits.sum().backward()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_the_score_that_hides_a_key_is_finite_in_every_precision(dtype: torch.dtype) -> None:
    # In base 2, as GPU kernels compute; a row that is all infinite would give NaN.
    hidden = _finite(torch.full((2, 2), torch.finfo(torch.float32).min), dtype)
    assert bool((hidden.float() * 1.4427).isfinite().all())
    assert bool((hidden < -1e4).all())


def count_calls(name: str, calls: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from tasks.modeling import attention

    plain: Callable[..., Tensor] = getattr(attention, name)

    def counted(*given: Any) -> Tensor:
        calls.append(name)
        return plain(*given)

    monkeypatch.setattr(attention, name, counted)


def test_dropout_follows_the_seed_in_training_and_is_off_in_eval_mode() -> None:
    model = make(attention_dropout=0.5)

    def once(seed: int) -> Tensor:
        torch.manual_seed(seed)
        with torch.no_grad():
            return torch.as_tensor(model(draw(ABOVE)).logits)

    assert torch.equal(once(1), once(2))
    model.train()
    assert torch.equal(once(1), once(1))
    assert not torch.allclose(once(1), once(2))


def test_the_saved_config_does_not_name_the_implementation_and_loads_either_way(pair: Pair, tmp_path: Path) -> None:
    pair[0].save_pretrained(tmp_path)
    assert not [name for name in json.loads((tmp_path / "config.json").read_text()) if "attn" in name]
    eager = AutoModelForCausalLM.from_pretrained(tmp_path, attn_implementation="eager")
    torch.testing.assert_close(eager.state_dict(), pair[0].state_dict())
    ours = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert isinstance(ours.transformer.h[0].attn.attention, GPTNeoSdpaAttention)  # type: ignore[index,union-attr]
    torch.testing.assert_close(ours(draw(ABOVE)).logits, eager(draw(ABOVE)).logits)


@pytest.mark.slow
def test_the_compiled_model_gives_the_same_logits(pair: Pair) -> None:
    compiled = torch.compile(pair[0], backend="eager")
    for mask in (None, pad(ABOVE, "right")):
        ours, theirs = (model(draw(ABOVE), attention_mask=mask).logits for model in (compiled, pair[1]))
        real = torch.ones(3, ABOVE, dtype=torch.bool) if mask is None else mask.bool()
        torch.testing.assert_close(ours[real], theirs[real])
