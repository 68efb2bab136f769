"""A fused training loss for GPT-Neo and GPT-2: the loss and gradients of Hugging Face's model, in less time and memory.

* The loss is computed in chunks of rows: the logits, their logarithms and their gradient, each [B, T, V] in fp32, never
  exist as a whole.
* Right padding, which causal attention cannot see, needs no attention mask and so no slow kernel.
* GELU is one pass instead of eight.

Without labels the model's `forward` is unchanged. `torch.nn.functional.linear_cross_entropy` is not used: in fp32 it
took 2.9 times as long on two CPU cores (hidden size 768, 50,257 tokens), it returns the loss of bf16 input in bf16
(three digits), and on a CPU it multiplies that input in fp32.
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
"""Logits per chunk by device type: enough rows to keep a GPU busy."""
LOGITS_AT_ONCE_ELSEWHERE = 2**23
"""32 MB in fp32; larger chunks are no faster on a CPU."""


def fuse(model: Any) -> bool:
    """Make `model` compute the fused loss, and return whether it does.

    GPT-Neo and GPT-2 do; any other architecture is unchanged and slower. Call it before adapters (peft) are added; it
    is idempotent. The config and the saved files do not change.
    """
    if type(model) not in (GPTNeoForCausalLM, GPT2LMHeadModel):
        return False
    for layer in list(model.modules()):
        for name, child in layer.named_children():
            if type(child) is NewGELUActivation:
                setattr(layer, name, nn.GELU(approximate="tanh"))
    model.forward = MethodType(_fused_forward(type(model)), model)  # type: ignore[arg-type]
    return True


@cache
def _fused_forward(architecture: type) -> Callable[..., Any]:
    """An architecture's `forward` with the fused loss and the signature of the plain one."""
    plain = architecture.forward  # type: ignore[attr-defined]

    def forward(  # noqa: PLR0913 the arguments that a training passes
        self: Any,
        input_ids: Tensor | None = None,
        *others: Any,
        labels: Tensor | None = None,
        attention_mask: Tensor | None = None,
        num_items_in_batch: Tensor | int | None = None,
        use_cache: bool | None = None,
        **more: Any,
    ) -> Any:
        arguments = {"labels": labels, "attention_mask": attention_mask, "use_cache": use_cache, **more}
        has_others = bool(others) or any(value is not None for value in more.values())
        if input_ids is None or labels is None or has_others or not _can_fuse(self, input_ids.device.type):
            arguments["num_items_in_batch"] = num_items_in_batch
            given = {name: value for name, value in arguments.items() if value is not None}
            return plain(self, input_ids, *others, **given)
        mask = None if _is_needless(attention_mask, labels) else attention_mask
        hidden = self.transformer(input_ids, attention_mask=mask, use_cache=False, return_dict=True)[0]
        loss = _mean_loss(hidden, self.lm_head.weight, labels, num_items_in_batch)
        return CausalLMOutputWithPast(loss=loss)

    forward.__signature__ = inspect.signature(plain)  # type: ignore[attr-defined]  # generate() reads it
    return forward


def _can_fuse(model: Any, device: str) -> bool:
    """False if the head has adapters or a bias, and in fp16, which overflows in sums over many tokens."""
    return type(model.lm_head) is nn.Linear and model.lm_head.bias is None and _precision(device) != torch.float16


def _precision(device: str) -> torch.dtype | None:
    """The precision of matrix products under autocast; None without autocast."""
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else None


def _is_needless(mask: Tensor | None, labels: Tensor) -> bool:
    """Whether all pads are on the right and have no label: no real token sees them, with or without a mask."""
    if mask is None:
        return True
    if mask.dim() != 2 or mask.shape != labels.shape or torch.compiler.is_compiling():
        return False
    on_the_right = (mask[:, 1:] <= mask[:, :-1]).all()
    return bool(on_the_right & ((mask != 0) | (labels == IGNORED_LABEL)).all())


@torch.compiler.disable  # type: ignore[untyped-decorator]  # compiled, all logits would exist at once
def _mean_loss(hidden: Tensor, head: Tensor, labels: Tensor, count: Tensor | int | None) -> Tensor:
    """The sum of the negative log-likelihoods of the labels in fp32, divided by `count` (default: their number).

    `hidden` is [B, T, H], `head` [V, H], `labels` [B, T]; position t predicts label t + 1.
    """
    rows = hidden[:, :-1].flatten(0, 1)  # [N, H]
    targets = labels[:, 1:].flatten().to(rows.device)  # [N]
    real = targets != IGNORED_LABEL
    if rows.device.type == "cpu" and not bool(real.all()):  # on a GPU the check would synchronize
        rows, targets, real = rows[real], targets[real], real[real]
    dtype = _precision(rows.device.type) or rows.dtype
    with torch.autocast(rows.device.type, enabled=False):
        total: Tensor = _SummedLoss.apply(rows, head, targets, dtype, torch.is_grad_enabled())  # type: ignore[no-untyped-call]
    return total / (real.sum() if count is None else count)


class _SummedLoss(torch.autograd.Function):
    """Sum of the negative log-likelihoods; the gradients are computed in the forward pass, chunk by chunk."""

    @staticmethod
    def forward(  # noqa: PLR0913, PLR0917
        ctx: Any, rows: Tensor, head: Tensor, targets: Tensor, dtype: torch.dtype, training: bool
    ) -> Tensor:
        """The sum in fp32 for rows [N, H], head [V, H] and targets [N]; logits are computed in `dtype`."""
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
            gradients = _logit_gradients_in_place(logarithms, wanted).to(dtype)  # [n, V]
            if ctx.rows is not None:
                ctx.rows[chunk] = gradients @ matrix
            if ctx.head is not None:
                _add_product(ctx.head, gradients, some)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """The gradients of the forward pass times that of the loss; they are freed, so it can run only once."""
        gradients = [None if made is None else made.mul_(gradient) for made in (ctx.rows, ctx.head)]
        del ctx.rows, ctx.head
        return (*gradients, None, None, None)


def _chunks(rows: int, vocabulary: int, device: str) -> Iterator[slice]:
    size = max(1, LOGITS_AT_ONCE.get(device, LOGITS_AT_ONCE_ELSEWHERE) // vocabulary)
    return (slice(begin, begin + size) for begin in range(0, rows, size))


def _logit_gradients_in_place(logarithms: Tensor, targets: Tensor) -> Tensor:
    """Gradient of the loss with respect to the logits [n, V]: probabilities minus one at the target; 0 if ignored."""
    real = targets != IGNORED_LABEL
    gradients = logarithms.exp_()
    gradients.scatter_add_(1, targets.clamp(min=0)[:, None], gradients.new_full((len(targets), 1), -1.0))
    return gradients if gradients.device.type == "cpu" else gradients.mul_(real[:, None])  # on a CPU all are real


def _add_product(total: Tensor, gradients: Tensor, rows: Tensor) -> None:
    """`total` [V, H] += `gradients`ᵀ [V, n] · `rows` [n, H], summed in the precision of `total`."""
    if total.dtype == gradients.dtype:
        total.addmm_(gradients.t(), rows)
    else:
        total += gradients.t() @ rows
