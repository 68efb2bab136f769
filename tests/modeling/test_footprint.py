"""The estimated memory of a training is what its tensors take."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tasks.errors import InputError
from tasks.modeling.devices import Precision
from tasks.modeling.footprint import Footprint, ModelSize, _container_limit, device_memory, footprint, measure_model
from tasks.modeling.happy import TunableGeneration
from tasks.parameters import TrainingParameters
from tasks.settings import ROOT

PEAK = """
import sys, torch
from transformers import GPTNeoConfig, GPTNeoForCausalLM
from tasks.modeling.attention import register_attention
from tasks.modeling.footprint import footprint, measure_model
from tasks.modeling.fusing import fuse
from tasks.parameters import TrainingParameters

def status(name):
    return int(next(line for line in open("/proc/self/status") if line.startswith(name)).split()[1]) * 1024

torch.set_num_threads(1)
register_attention()
checkpointing = sys.argv[2] == "True"
shape = GPTNeoConfig(vocab_size=512, hidden_size=128, num_layers=4, attention_types=[[["global", "local"], 2]],
    num_heads=4, max_position_embeddings=256)
shape.architectures = ["GPTNeoForCausalLM"]
shape.save_pretrained(sys.argv[1])
model = GPTNeoForCausalLM(shape).train()
fuse(model)
if checkpointing:
    model.gradient_checkpointing_enable({"use_reentrant": False})
optimizer = torch.optim.AdamW(model.parameters(), fused=True)
ids = torch.randint(0, 512, (8, 256))
model(ids[:1, :8], labels=ids[:1, :8]).loss.backward()
model.zero_grad()
open("/proc/self/clear_refs", "w").write("5")
before = status("VmRSS")
for _ in range(2):
    model(ids, labels=ids).loss.backward()
    optimizer.step()
    optimizer.zero_grad()
training = TrainingParameters(gradient_checkpointing=checkpointing)
estimate = footprint(measure_model(sys.argv[1], None, training), training, "fp32", batch_size=8, block_size=256)
print(status("VmHWM") - before, estimate.total - estimate.weights - estimate.spare)
"""
"""Prints the peak of the resident memory without the weights, and the estimate; glibc returns freed memory."""


def estimate(size: ModelSize, precision: Precision = "fp32", processes: int = 1, **training: object) -> Footprint:
    parameters = TrainingParameters.model_validate(training)
    return footprint(size, parameters, precision, batch_size=4, block_size=32, processes=processes)


@pytest.fixture
def size(neo_folder: Path) -> ModelSize:
    return measure_model(str(neo_folder), None, TrainingParameters())


def test_weights_gradients_and_moments_are_those_of_the_model(neo: TunableGeneration, size: ModelSize) -> None:
    number = sum(weights.numel() for weights in neo.model.parameters())
    assert size.parameters == size.trained == number
    assert (estimate(size).gradients, estimate(size).optimizer) == (4 * number, 8 * number)
    assert estimate(size).weights - size.buffer_bytes == 4 * number


@pytest.mark.slow
@pytest.mark.parametrize("checkpointing", [False, True])
def test_the_peak_of_a_training_on_a_cpu_is_estimated_within_a_fifth(checkpointing: bool, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PEAK, tmp_path, str(checkpointing)],
        cwd=ROOT, env={**os.environ, "MALLOC_MMAP_THRESHOLD_": "131072"}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    measured, estimated = map(int, done.stdout.split()[-2:])
    assert 0.8 < estimated / measured < 1.25


@pytest.mark.parametrize(("kind", "dropout"), [("neo", False), ("gpt2", True)])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_activations_are_those_that_the_layers_keep(
    kind: str, dropout: bool, precision: Precision, request: pytest.FixtureRequest
) -> None:
    generator, folder = request.getfixturevalue(kind), request.getfixturevalue(f"{kind}_folder")
    size = measure_model(str(folder), None, TrainingParameters())
    assert (size.dropout, size.attention_dropout) == (dropout, dropout)
    estimated = footprint(size, TrainingParameters(), precision, batch_size=8, block_size=64).activations
    kept = kept_bytes(generator.model, precision)
    head = 8 * 8 * 64 * size.vocabulary + 4 * size.hidden * (8 * 64 + size.vocabulary)
    assert 0.8 < (estimated - head) / kept < 1.25


def kept_bytes(model: torch.nn.Module, precision: Precision) -> int:
    """What the layers keep of 8 blocks of 64 for the backward pass, each storage once and without the weights."""
    from tasks.modeling.fusing import fuse

    fuse(model)
    weights = {one.untyped_storage().data_ptr() for one in model.parameters()}
    kept: dict[int, torch.Tensor] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.untyped_storage().data_ptr() not in weights:
            kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    half = torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16")
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor), half:
        model.train().transformer(torch.randint(0, 100, (8, 64)), use_cache=False)  # type: ignore[operator]
    return sum(tensor.untyped_storage().nbytes() for tensor in kept.values())


def test_parameters_that_save_memory_lower_the_estimate(neo_folder: Path, size: ModelSize) -> None:
    whole = estimate(size)
    assert estimate(size, gradient_checkpointing=True).activations < 0.8 * whole.activations
    adapted = measure_model(str(neo_folder), None, TrainingParameters(lora_rank=2))
    assert adapted.parameters == size.parameters
    assert estimate(adapted, lora_rank=2).optimizer == 8 * adapted.trained < whole.optimizer / 4
    shards = [estimate(size, fsdp=True, num_processes=2, processes=number).optimizer for number in (2, 4)]
    assert shards == [whole.optimizer // 2, whole.optimizer // 4]
    assert estimate(size, processes=2).gradients == 2 * whole.gradients, "a copy to exchange"


def test_missing_layers_cannot_have_adapters(neo_folder: Path) -> None:
    with pytest.raises(InputError, match="lora-target-modules"):
        measure_model(str(neo_folder), None, TrainingParameters(lora_rank=2, lora_target_modules=("none",)))


def test_the_memory_of_a_container_is_its_limit(tmp_path: Path) -> None:
    assert 0 < device_memory().free <= device_memory().total
    assert _container_limit(tmp_path) is None
    (tmp_path / "memory.current").write_text("10\n")
    (tmp_path / "memory.max").write_text("max\n")
    assert _container_limit(tmp_path) is None
    (tmp_path / "memory.max").write_text("30\n")
    assert _container_limit(tmp_path) == (30, 10)
