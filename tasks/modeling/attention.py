"""GPT-Neo's attention by torch's fused kernel: transformers has it for GPT-2 and most others, not for GPT-Neo.

What comes in: the import. What it leaves: GPT-Neo models that are made or loaded from then on attend by
`scaled_dot_product_attention`, unless they are asked for `attn_implementation="eager"`; their config on disk does not
say so, and whoever loads them elsewhere gets what there is.

The eager layer holds the scores of every query and key in fp32 for the backward pass, the fused kernel none of them.
Results are equal but for rounding, at every place that is not a pad. A local layer looks `window_size` tokens back: it
needs a mask only where there are more. Attention weights and head masks take the eager way.
"""

from functools import lru_cache
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers.models.gpt_neo.modeling_gpt_neo import (
    GPT_NEO_ATTENTION_CLASSES,
    GPTNeoPreTrainedModel,
    GPTNeoSelfAttention,
)


class GPTNeoSdpaAttention(GPTNeoSelfAttention):
    """A layer with the weights of the eager one."""

    bias: torch.Tensor | None

    def __init__(self, config: Any, attention_type: str, layer_id: int | None = None) -> None:
        """Prepare as the eager layer does, but hold no mask of all positions by all positions."""
        super().__init__(config, attention_type, layer_id)  # type: ignore[no-untyped-call]
        self.window: int | None = config.window_size if attention_type == "local" else None
        self.bias = None  # 4 MB a layer at 2048 positions

    def forward(  # noqa: PLR0913, PLR0917 the eager layer's signature
        self,
        hidden_states: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        layer_past: Any = None,
        head_mask: torch.Tensor | None = None,
        use_cache: bool = False,
        output_attentions: bool = False,
        cache_position: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """What the eager layer's `forward` gives; attention weights only where they are asked for."""
        if output_attentions or head_mask is not None:
            return super().forward(  # type: ignore[no-any-return,no-untyped-call]
                hidden_states, attention_mask, layer_past, head_mask, use_cache, output_attentions, cache_position
            )
        query, key, value = (
            project(hidden_states).unflatten(-1, (self.num_heads, self.head_dim)).transpose(1, 2)  # [B, heads, T, head]
            for project in (self.q_proj, self.k_proj, self.v_proj)
        )
        if layer_past is not None:
            key, value = layer_past.update(key, value, self.layer_id, {"cache_position": cache_position})
        mixed = self._mix(query, key, value, attention_mask).transpose(1, 2).flatten(2)  # [B, T, hidden]
        return self.resid_dropout(self.out_proj(mixed)), None

    def _mix(
        self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, attention_mask: torch.Tensor | None
    ) -> torch.Tensor:
        """The values that each query sees, weighted; queries are the newest of the keys."""
        queries, keys = query.size(2), key.size(2)
        window = self.window if self.window is not None and keys > self.window else None
        whole = attention_mask is None and window is None and queries == keys
        mask = None
        if queries == 1:  # it sees all keys, or the newest of them
            start = 0 if window is None else keys - window
            key, value = key[:, :, start:], value[:, :, start:]
            if attention_mask is not None:
                mask = _bounded(attention_mask[..., start:keys], query.dtype)
        elif attention_mask is not None:
            mask = _combined(attention_mask, queries, keys, window, query.dtype)
        elif not whole:
            mask = _visible(queries, keys, window, query.device)
        return scaled_dot_product_attention(
            query,
            key,
            value,
            attn_mask=mask,
            dropout_p=self.attn_dropout.p if self.training else 0.0,
            is_causal=whole and queries > 1,
            scale=1.0,  # GPT-Neo does not divide its scores by the root of the head's size
        )

    def _attn(self, query: torch.Tensor, key: torch.Tensor, *more: Any) -> tuple[torch.Tensor, torch.Tensor]:
        """The eager way; the mask that it wants is there as long as it runs."""
        self.bias = _visible(key.size(2), key.size(2), self.window, key.device)[None, None]
        try:
            return super()._attn(query, key, *more)  # type: ignore[no-any-return,no-untyped-call]
        finally:
            self.bias = None


def _visible(queries: int, keys: int, window: int | None, device: torch.device) -> torch.Tensor:
    """[queries, keys], true where a query sees a key; made once for all layers and steps."""
    make = _make_visible if torch.compiler.is_compiling() else _keep_visible
    return make(queries, keys, window, device)


def _make_visible(queries: int, keys: int, window: int | None, device: torch.device) -> torch.Tensor:
    others = torch.arange(keys, device=device)  # [keys]
    places = others[keys - queries :, None]  # [queries, 1]
    visible = others <= places
    return visible if window is None else visible & (others > places - window)


@lru_cache(maxsize=4)
def _keep_visible(queries: int, keys: int, window: int | None, device: torch.device) -> torch.Tensor:
    with torch.inference_mode(False):  # a measurement may be the first to ask, and training has to use it too
        return _make_visible(queries, keys, window, device)


def _combined(mask: torch.Tensor, queries: int, keys: int, window: int | None, dtype: torch.dtype) -> torch.Tensor:
    """[B, 1, queries, keys]: the model's mask, and what no query sees; made once for all layers of a step.

    The model hands the same mask to each of its layers, so what was made of it is kept with it.
    """
    if torch.compiler.is_compiling():
        return _combine(mask, queries, keys, window, dtype)
    known: dict[Any, torch.Tensor] = mask.__dict__.setdefault("_combined", {})
    wanted = (None if mask.is_inference() else mask._version, queries, keys, window, dtype)
    if wanted not in known:
        with torch.inference_mode(False):
            known[wanted] = _combine(mask, queries, keys, window, dtype)
    return known[wanted]


def _combine(mask: torch.Tensor, queries: int, keys: int, window: int | None, dtype: torch.dtype) -> torch.Tensor:
    hidden = ~_visible(queries, keys, window, mask.device)
    return _bounded(mask[..., :keys], dtype).masked_fill(hidden, _least(dtype))


def _bounded(mask: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """The mask in the precision of the scores; no row of it is all infinite, which would give no numbers."""
    return mask.clamp(min=_least(dtype)).to(dtype)


def _least(dtype: torch.dtype) -> float:
    """What hides a key. Kernels that compute powers of 2 multiply it by 1.44: half of the least number stays finite."""
    return torch.finfo(dtype).min / 2


GPT_NEO_ATTENTION_CLASSES["sdpa"] = GPTNeoSdpaAttention
GPTNeoPreTrainedModel._supports_sdpa = True
