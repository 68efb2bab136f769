"""GPT-Neo's attention on torch's fused kernel, which transformers offers for GPT-2 and most others but not for GPT-Neo.

After `register_attention`, GPT-Neo models that are created or loaded use `scaled_dot_product_attention`, unless
`attn_implementation="eager"` is requested. The config on disk does not mention it, so the model loads anywhere.

The eager layer keeps the fp32 scores of every query and key for the backward pass, the fused kernel keeps none. Results
are equal up to rounding, at every position that is not padding. A local layer sees the last `window_size` tokens, so it
needs a mask only for longer inputs. Attention weights and head masks are computed by the eager layer.
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


def register_attention() -> None:
    """Make fused attention the default of all GPT-Neo models that are created or loaded from now on."""
    GPT_NEO_ATTENTION_CLASSES["sdpa"] = GPTNeoSdpaAttention
    GPTNeoPreTrainedModel._supports_sdpa = True


class GPTNeoSdpaAttention(GPTNeoSelfAttention):
    """An attention layer with the weights of the eager one."""

    bias: torch.Tensor | None

    def __init__(self, config: Any, attention_type: str, layer_id: int | None = None) -> None:
        """Create the layer like the eager one, but without a mask of all positions by all positions."""
        super().__init__(config, attention_type, layer_id)  # type: ignore[no-untyped-call]
        self.window: int | None = config.window_size if attention_type == "local" else None
        self.bias = None  # it would take 4 MB per layer at 2048 positions

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
        """The output of the eager layer's `forward`; attention weights only if requested."""
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
        attended = self._attend(query, key, value, attention_mask).transpose(1, 2).flatten(2)  # [B, T, hidden]
        return self.resid_dropout(self.out_proj(attended)), None

    def _attend(
        self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, attention_mask: torch.Tensor | None
    ) -> torch.Tensor:
        """Attention [B, heads, queries, head]; the queries belong to the last of the keys."""
        queries, keys = query.size(2), key.size(2)
        window = self.window if self.window is not None and keys > self.window else None
        whole = attention_mask is None and window is None and queries == keys
        mask = None
        if queries == 1:  # it sees all keys, or the last `window`
            start = 0 if window is None else keys - window
            key, value = key[:, :, start:], value[:, :, start:]
            if attention_mask is not None:
                mask = _finite(attention_mask[..., start:keys], query.dtype)
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
            scale=1.0,  # GPT-Neo does not scale its scores
        )

    def _attn(self, query: torch.Tensor, key: torch.Tensor, *more: Any) -> tuple[torch.Tensor, torch.Tensor]:
        """The eager implementation; it reads the mask from `bias`, which is set while it runs."""
        self.bias = _visible(key.size(2), key.size(2), self.window, key.device)[None, None]
        try:
            return super()._attn(query, key, *more)  # type: ignore[no-any-return,no-untyped-call]
        finally:
            self.bias = None


def _visible(queries: int, keys: int, window: int | None, device: torch.device) -> torch.Tensor:
    """[queries, keys], true where a query sees a key; cached for all layers and steps."""
    compute = _compute_visible if torch.compiler.is_compiling() else _cached_visible
    return compute(queries, keys, window, device)


def _compute_visible(queries: int, keys: int, window: int | None, device: torch.device) -> torch.Tensor:
    positions = torch.arange(keys, device=device)  # [keys]
    own = positions[keys - queries :, None]  # [queries, 1]
    visible = positions <= own
    return visible if window is None else visible & (positions > own - window)


@lru_cache(maxsize=4)
def _cached_visible(queries: int, keys: int, window: int | None, device: torch.device) -> torch.Tensor:
    with torch.inference_mode(False):  # an evaluation may compute it first, and training must be able to use it
        return _compute_visible(queries, keys, window, device)


def _combined(mask: torch.Tensor, queries: int, keys: int, window: int | None, dtype: torch.dtype) -> torch.Tensor:
    """[B, 1, queries, keys]: the model's mask and the causal mask; computed once for all layers of a step.

    The model passes the same mask to each of its layers, so the result is cached on the mask itself.
    """
    if torch.compiler.is_compiling():
        return _combine(mask, queries, keys, window, dtype)
    cache: dict[Any, torch.Tensor] = mask.__dict__.setdefault("_combined", {})
    key = (None if mask.is_inference() else mask._version, queries, keys, window, dtype)
    if key not in cache:
        with torch.inference_mode(False):
            cache[key] = _combine(mask, queries, keys, window, dtype)
    return cache[key]


def _combine(mask: torch.Tensor, queries: int, keys: int, window: int | None, dtype: torch.dtype) -> torch.Tensor:
    hidden = ~_visible(queries, keys, window, mask.device)
    return _finite(mask[..., :keys], dtype).masked_fill(hidden, _hidden_score(dtype))


def _finite(mask: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """The mask in the precision of the scores; a row that is all minus infinity would give NaN."""
    return mask.clamp(min=_hidden_score(dtype)).to(dtype)


def _hidden_score(dtype: torch.dtype) -> float:
    """The score that hides a key: half of the lowest number, since kernels multiply it by 1.44 (powers of 2)."""
    return torch.finfo(dtype).min / 2
