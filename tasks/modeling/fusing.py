"""Fused training: the same loss and the same gradients as Hugging Face's model gives, in less time and memory.

What comes in: a GPT-Neo or GPT-2 that writes text. What it leaves: the same model, and, where it is given labels,

* the loss is taken some rows at a time: the logits of all places by the whole vocabulary, their logarithms and their
  gradient, each [B, T, V] in fp32, are never there;
* right padding, which causal attention cannot see, brings no attention mask and so no slow kernel;
* GELU is one pass and not eight.

Without labels the model answers as before. `torch.nn.functional.linear_cross_entropy` is not
used: it took 2.9 times as long in fp32 on two CPU cores (hidden size 768, 50,257 tokens), it returns the loss of bf16
input in bf16 (three digits), and on a CPU it multiplies that input in fp32.
"""

import inspect
from collections.abc import Callable, Iterator
from functools import cache
from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from transformers import GPT2LMHeadModel, GPTNeoForCausalLM
from transformers.activations import NewGELUActivation
from transformers.modeling_outputs import CausalLMOutputWithPast

from tasks.modeling.blocks import IGNORED_LABEL

LOGITS_AT_ONCE = {"cuda": 2**26}
"""Logits that are held at once, by device: enough rows to keep a GPU busy."""
LOGITS_AT_ONCE_ELSEWHERE = 2**23
"""32 MB in fp32; more was no quicker on a CPU."""


def fuse(model: Any) -> bool:
    """Let `model` compute its training loss in the fused way, and return whether it does.

    GPT-Neo and GPT-2 do; any other architecture is left exactly as it was, which is right, only slower. Adapters (peft)
    are added afterwards. Fusing twice is fusing once. The config and what is saved stay as they are.
    """
    if type(model) not in (GPTNeoForCausalLM, GPT2LMHeadModel):
        return False
    for layer in list(model.modules()):
        for name, child in layer.named_children():
            if type(child) is NewGELUActivation:
                setattr(layer, name, nn.GELU(approximate="tanh"))
    model.forward = MethodType(_forward_of(type(model)), model)  # type: ignore[arg-type]
    return True


@cache
def _forward_of(architecture: type) -> Callable[..., Any]:
    """An architecture's `forward` with the fused loss; whoever inspects it sees the signature of the plain one."""
    plain = architecture.forward  # type: ignore[attr-defined]

    def forward(  # noqa: PLR0913 what a training passes has a name
        self: Any,
        input_ids: Tensor | None = None,
        *others: Any,
        labels: Tensor | None = None,
        attention_mask: Tensor | None = None,
        num_items_in_batch: Tensor | int | None = None,
        use_cache: bool | None = None,
        **more: Any,
    ) -> Any:
        named = {"labels": labels, "attention_mask": attention_mask, "use_cache": use_cache, **more}
        asked_for_more = bool(others) or any(value is not None for value in more.values())
        if input_ids is None or labels is None or asked_for_more or not _can_fuse(self, input_ids.device.type):
            counted = {} if num_items_in_batch is None else {"num_items_in_batch": num_items_in_batch}
            given = {name: value for name, value in named.items() if value is not None}
            return plain(self, input_ids, *others, **given, **counted)
        mask = None if _is_needless(attention_mask, labels) else attention_mask
        hidden = self.transformer(input_ids, attention_mask=mask, use_cache=False, return_dict=True)[0]
        loss = _mean_loss(hidden, self.lm_head.weight, labels, num_items_in_batch)
        return CausalLMOutputWithPast(loss=loss)

    forward.__signature__ = inspect.signature(plain)  # type: ignore[attr-defined]  # generate() reads it
    return forward


def _can_fuse(model: Any, device: str) -> bool:
    """Not where the head has adapters or a bias, nor in fp16, which sums over many tokens overflow."""
    return type(model.lm_head) is nn.Linear and model.lm_head.bias is None and _precision(device) != torch.float16


def _precision(device: str) -> torch.dtype | None:
    """What matrices are multiplied in here, where that is not their own precision."""
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else None


def _is_needless(mask: Tensor | None, labels: Tensor) -> bool:
    """Whether all pads are on the right and count for nothing: no real token sees them then, with or without a mask."""
    if mask is None:
        return True
    if mask.dim() != 2 or mask.shape != labels.shape or torch.compiler.is_compiling():
        return False
    on_the_right = (mask[:, 1:] <= mask[:, :-1]).all()
    return bool(on_the_right & ((mask != 0) | (labels == IGNORED_LABEL)).all())


@torch.compiler.disable  # type: ignore[untyped-decorator]  # compiled, all logits would be held at once
def _mean_loss(hidden: Tensor, head: Tensor, labels: Tensor, count: Tensor | int | None) -> Tensor:
    """Negative log-likelihood in fp32 of each label, given the place before it: the sum, divided by `count`.

    `hidden` is [B, T, H], `head` [V, H], `labels` [B, T]; left out, `count` is the number of labels that count.
    """
    rows = hidden[:, :-1].flatten(0, 1)  # [N, H]
    targets = labels[:, 1:].flatten().to(rows.device)  # [N]
    real = targets != IGNORED_LABEL
    if rows.device.type == "cpu" and not bool(real.all()):  # elsewhere, asking would wait for the device
        rows, targets, real = rows[real], targets[real], real[real]
    dtype = _precision(rows.device.type) or rows.dtype
    with torch.autocast(rows.device.type, enabled=False):
        total: Tensor = _SummedLoss.apply(rows, head, targets, dtype, torch.is_grad_enabled())  # type: ignore[no-untyped-call]
    return total / (real.sum() if count is None else count)


class _SummedLoss(torch.autograd.Function):
    """Sum of the negative log-likelihoods; the gradients are made on the way, while the logits are there."""

    @staticmethod
    def forward(  # noqa: PLR0913, PLR0917
        ctx: Any, rows: Tensor, head: Tensor, targets: Tensor, dtype: torch.dtype, training: bool
    ) -> Tensor:
        """Rows [N, H], head [V, H] and targets [N] to one number in fp32; logits are computed in `dtype`."""
        matrix, total = head.to(dtype), rows.new_zeros((), dtype=torch.float32)
        wants_rows, wants_head = (training and wanted for wanted in ctx.needs_input_grad[:2])
        ctx.rows = torch.empty_like(rows) if wants_rows else None
        ctx.head = torch.zeros_like(head) if wants_head else None
        for chunk in _chunks(len(rows), len(head), rows.device.type):
            some, wanted = rows[chunk].to(dtype), targets[chunk]
            logarithms = torch.log_softmax(some @ matrix.t(), dim=-1, dtype=torch.float32)  # [n, V]
            total += nn.functional.nll_loss(logarithms, wanted, ignore_index=IGNORED_LABEL, reduction="sum")
            if not (wants_rows or wants_head):
                continue
            slopes = _slopes_in_place(logarithms, wanted).to(dtype)  # [n, V]
            if ctx.rows is not None:
                ctx.rows[chunk] = slopes @ matrix
            if ctx.head is not None:
                _add_product(ctx.head, slopes, some)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, ...]:
        """The gradients made before, times that of the loss; they are handed over, so there is no second time."""
        gradients = [None if made is None else made.mul_(slope) for made in (ctx.rows, ctx.head)]
        del ctx.rows, ctx.head
        return (*gradients, None, None, None)


def _chunks(rows: int, vocabulary: int, device: str) -> Iterator[slice]:
    size = max(1, LOGITS_AT_ONCE.get(device, LOGITS_AT_ONCE_ELSEWHERE) // vocabulary)
    return (slice(begin, begin + size) for begin in range(0, rows, size))


def _slopes_in_place(logarithms: Tensor, targets: Tensor) -> Tensor:
    """Gradient of the summed loss by the logits [n, V]: the probabilities, less one at the target; 0 at no target."""
    real = targets != IGNORED_LABEL
    slopes = logarithms.exp_()
    slopes.scatter_add_(1, targets.clamp(min=0)[:, None], slopes.new_full((len(targets), 1), -1.0))
    return slopes if slopes.device.type == "cpu" else slopes.mul_(real[:, None])  # on a CPU all are real


def _add_product(total: Tensor, slopes: Tensor, rows: Tensor) -> None:
    """`total` [V, H] += `slopes`ᵀ [V, n] · `rows` [n, H], summed in the precision of `total`."""
    if total.dtype == slopes.dtype:
        total.addmm_(slopes.t(), rows)
    else:
        total += slopes.t() @ rows
