"""The memory that a training needs, in its parts, and the memory of the device.

Weights, gradients and optimizer (AdamW, two moments) are exact: all three are fp32 whatever the precision. Activations
follow a formula for the layers of GPT-Neo and GPT-2, counted tensor by tensor (see `_LAYER_BYTES`); other models are
treated as a GPT-2 of the same shape. To these is added what the allocator reserves without using it.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]
import torch
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.pytorch_utils import Conv1D

from tasks.modeling.adapters import add_adapters
from tasks.modeling.attention import register_attention
from tasks.modeling.devices import Precision
from tasks.modeling.fusing import LOGITS_AT_ONCE, LOGITS_AT_ONCE_ELSEWHERE, fuse
from tasks.modeling.loading import check_writes_text, loading
from tasks.parameters import TrainingParameters

FULL, HALF = 4, 2
"""Bytes of a number in fp32, and in bf16 or fp16."""
MOMENTS = 2
"""AdamW's fp32 values per weight."""
_LAYER_BYTES = {
    ("fused", FULL): (32, 8),
    ("fused", HALF): (24, 4),
    ("plain", FULL): (32, 20),
    ("plain", HALF): (24, 16),
}
"""Bytes that a layer keeps per token for the backward pass: per unit of the hidden size, per unit of the inner size.

In fp32 the tensors of the hidden size are two residual sums, two norms, query, key, value and the attention output (8 x
4 bytes; no T x T map, since attention is fused), those of the inner size GELU's input and output. Under autocast all
but the residual sums are half as large, and the first norm is kept three times, for query, key and value. Plain GELU
(gelu_new) keeps five tensors of the inner size; under autocast a GPU keeps three of them in fp32.
"""
_DROPPED_BYTES = {"cpu": 8, "gpu": 2}
"""The two dropout masks of a layer, per token and unit of the hidden size."""
_DROPPED_MAP_BYTES = 12
"""Per query, key and head: a CPU has no fused attention with dropout, so it keeps the map, its mask and the product."""
_SPARE = {"cpu": 0.5, "gpu": 0.1}
"""What the allocator reserves beyond the activations, as a share of them: freed memory that is fragmented.

Measured on a CPU: with glibc's heap a training takes 1.5 to 1.7 times the memory of its tensors, without it 1.0 times.
"""
_LOGIT_BYTES = {"fused": 8, "plain": 12}
"""Per logit: itself and its log-softmax, and its gradient if the loss is not fused."""


@dataclass(frozen=True)
class ModelSize:
    """The properties of a model that its memory depends on."""

    parameters: int
    trained: int
    """Fewer than `parameters` if adapters are trained."""
    matrix_parameters: int
    """In layers that autocast computes in half precision, for which it keeps a copy."""
    layer_parameters: int
    """Of one layer."""
    buffer_bytes: int
    layers: int
    hidden: int
    inner: int
    heads: int
    vocabulary: int
    dropout: bool
    attention_dropout: bool
    fused: bool
    """Whether loss and GELU are fused (tasks/modeling/fusing.py)."""


@dataclass(frozen=True)
class Footprint:
    """Bytes per process."""

    weights: int
    gradients: int
    optimizer: int
    activations: int
    spare: int
    """Reserved by the allocator without being used."""

    @property
    def total(self) -> int:
        """The sum of all parts."""
        return self.weights + self.gradients + self.optimizer + self.activations + self.spare


@dataclass(frozen=True)
class DeviceMemory:
    """The memory of the device, in bytes."""

    device: str
    kind: str
    """cpu, cuda or mps."""
    total: int
    free: int


def measure_model(load_from: str, revision: str | None, training: TrainingParameters) -> ModelSize:
    """The size of a model, from its config; no weights are loaded or allocated.

    Raises:
        InputError: it does not generate text, or has no layers with the requested names.
    """
    register_attention()
    with loading(load_from):
        config = AutoConfig.from_pretrained(load_from, revision=revision or "main")
        check_writes_text(load_from, config)
        with torch.device("meta"):
            model: Any = AutoModelForCausalLM.from_config(config)
    fused = fuse(model)
    parameters = sum(weights.numel() for weights in model.parameters())
    if training.lora_rank is not None:
        with torch.device("meta"):
            model = add_adapters(model, training)
    return _size_of(model, config, parameters, fused=fused)


def _size_of(model: Any, config: Any, parameters: int, *, fused: bool) -> ModelSize:
    matrices = [layer for layer in model.modules() if isinstance(layer, torch.nn.Linear | Conv1D)]
    embeddings = sum(layer.weight.numel() for layer in model.modules() if isinstance(layer, torch.nn.Embedding))
    inner = getattr(config, "intermediate_size", None) or getattr(config, "n_inner", None) or 4 * config.hidden_size
    return ModelSize(
        parameters=parameters,
        trained=sum(weights.numel() for weights in model.parameters() if weights.requires_grad),
        matrix_parameters=sum(layer.weight.numel() for layer in matrices),
        layer_parameters=(parameters - embeddings) // config.num_hidden_layers,
        buffer_bytes=sum(buffer.nbytes for buffer in model.buffers()),
        layers=config.num_hidden_layers,
        hidden=config.hidden_size,
        inner=inner,
        heads=config.num_attention_heads,
        vocabulary=config.vocab_size,
        dropout=_drops(config, "resid_pdrop", "resid_dropout"),
        attention_dropout=_drops(config, "attn_pdrop", "attention_dropout"),
        fused=fused,
    )


def _drops(config: Any, *names: str) -> bool:
    return any(getattr(config, name, None) for name in names)


def footprint(  # noqa: PLR0913 all that memory depends on
    size: ModelSize,
    training: TrainingParameters,
    precision: Precision,
    *,
    batch_size: int,
    block_size: int,
    processes: int = 1,
    gpu: bool = False,
) -> Footprint:
    """The memory of each of `processes`, at `batch_size` blocks per process.

    Without FSDP, each of several processes keeps a copy of its gradients to exchange them. With FSDP each has its shard
    of everything and also the whole embeddings and two whole layers, with their gradients.
    """
    states = [FULL * size.parameters, FULL * size.trained, MOMENTS * FULL * size.trained]
    if training.fsdp:
        whole = FULL * (size.parameters - (size.layers - 2) * size.layer_parameters)
        states = [-(-bytes_ // processes) for bytes_ in states]
        states[0], states[1] = states[0] + whole, states[1] + whole
    elif processes > 1:
        states[1] *= 2
    copies = 0 if precision == "fp32" else HALF * size.matrix_parameters
    activations = copies + _activations(size, training, precision, (batch_size, block_size), gpu=gpu)
    return Footprint(
        weights=states[0] + size.buffer_bytes,
        gradients=states[1],
        optimizer=states[2],
        activations=activations,
        spare=int(activations * _SPARE["gpu" if gpu else "cpu"]),
    )


def _activations(
    size: ModelSize, training: TrainingParameters, precision: Precision, shape: tuple[int, int], *, gpu: bool
) -> int:
    """Bytes that the forward pass keeps for a batch of `shape` [B, T], with the logits."""
    tokens = shape[0] * shape[1]
    hidden, inner = _LAYER_BYTES["fused" if size.fused else "plain", FULL if precision == "fp32" else HALF]
    dropped = _DROPPED_BYTES["gpu" if gpu else "cpu"] if size.dropout else 0
    layer = tokens * ((hidden + dropped) * size.hidden + inner * size.inner)
    if size.attention_dropout and not gpu:
        layer += tokens * shape[1] * size.heads * _DROPPED_MAP_BYTES
    ends = 2 * FULL * tokens * size.hidden  # the embeddings and the last norm
    logits, gradients = _head(size, tokens, fused=size.fused and precision != "fp16", gpu=gpu)
    if training.gradient_checkpointing:  # layers keep only their input; the rest comes after the logits are freed
        return size.layers * tokens * FULL * size.hidden + ends + gradients + max(layer, logits)
    return size.layers * layer + ends + gradients + logits


def _head(size: ModelSize, tokens: int, *, fused: bool, gpu: bool) -> tuple[int, int]:
    """Bytes of the logits (if fused, of one chunk), and of the gradients that the fused loss computes with them."""
    logits = tokens * size.vocabulary
    if not fused:
        return logits * _LOGIT_BYTES["plain"], 0
    at_once = LOGITS_AT_ONCE.get("cuda" if gpu else "cpu", LOGITS_AT_ONCE_ELSEWHERE)
    gradients = FULL * size.hidden * (tokens + size.vocabulary)
    return min(logits, max(at_once, size.vocabulary)) * _LOGIT_BYTES["fused"], gradients


def device_memory() -> DeviceMemory:
    """The memory of the device that a training in this process uses; in a container, its limit."""
    if torch.cuda.is_available():
        free, total = torch.cuda.mem_get_info()
        return DeviceMemory(torch.cuda.get_device_name(), "cuda", total, free)
    memory = psutil.virtual_memory()
    total, free = int(memory.total), int(memory.available)
    limit = _container_limit()
    if limit is not None and limit[0] < total:
        total, free = limit[0], min(free, limit[0] - limit[1])
    kind = "mps" if torch.backends.mps.is_available() else "cpu"
    return DeviceMemory(f"{kind.upper()} ({os.cpu_count()} cores)", kind, total, free)


def _container_limit(folder: Path = Path("/sys/fs/cgroup")) -> tuple[int, int] | None:
    """Limit and current usage of a container (cgroup v2) in bytes; None if there is no limit."""
    try:
        limit, current = ((folder / f"memory.{name}").read_text().strip() for name in ("max", "current"))
        return None if limit == "max" else (int(limit), int(current))
    except (OSError, ValueError):
        return None
