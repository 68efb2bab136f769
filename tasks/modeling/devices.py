"""Precision, number of processes, and errors of the device that a training runs on."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch

from tasks.errors import InputError
from tasks.parameters import TrainingParameters

Precision = Literal["fp32", "bf16", "fp16"]
_CPU_OUT_OF_MEMORY = "can't allocate memory"
"""torch's CPU allocator raises a plain RuntimeError, so this part of its message is all that identifies it."""


def check_device(training: TrainingParameters) -> None:
    """Raise InputError if the training requires a GPU and this machine has none."""
    if training.fp16 and not torch.cuda.is_available():
        raise InputError(
            "--training.fp16 needs a CUDA GPU and this machine has none; omit --training.fp16 to train in full "
            "precision, or run on the GPU work pool."
        )
    if training.fsdp and not torch.cuda.is_available():
        raise InputError(
            "--training.fsdp needs CUDA GPUs and this machine has none; omit --training.fsdp, or run on the GPU "
            "work pool."
        )


def choose_precision(training: TrainingParameters) -> Precision:
    """The requested precision; by default bfloat16 if the hardware supports it."""
    if training.fp16:
        return "fp16"
    return "bf16" if (_has_bf16() if training.bf16 is None else training.bf16) else "fp32"


def _has_bf16() -> bool:
    """Whether the GPU or CPU has bfloat16 instructions (emulation is slower than full precision)."""
    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    has_onednn = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return has_onednn and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def local_world_size(training: TrainingParameters) -> int:
    """The number of training processes on this machine: the requested one, or one per GPU."""
    return training.num_processes or max(torch.cuda.device_count(), 1)


def world_size(training: TrainingParameters) -> int:
    """The number of training processes on all machines; torchrun reads the number of machines from PET_NNODES."""
    machines = os.environ.get("PET_NNODES", "1")
    if not machines.isdecimal():
        raise InputError(
            f"PET_NNODES={machines}: the training needs a fixed number of machines; set PET_NNODES to one."
        )
    return local_world_size(training) * int(machines)


@contextmanager
def explain_out_of_memory(training: TrainingParameters, *, batch_size: int, block_size: int) -> Iterator[None]:
    """Turn an out-of-memory error of GPU or CPU into an InputError that says what to change."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError | torch.OutOfMemoryError) and _CPU_OUT_OF_MEMORY not in str(error):
            raise
        raise InputError(out_of_memory(training, batch_size=batch_size, block_size=block_size)) from error


def out_of_memory(training: TrainingParameters, *, batch_size: int, block_size: int) -> str:
    """The message for a training that ran out of memory."""
    advice = memory_advice(training, batch_size=batch_size, block_size=block_size)
    return f"{advice}; python flows/train.py --plan shows what is needed. The last checkpoint is kept."


def memory_advice(training: TrainingParameters, *, batch_size: int, block_size: int) -> str:
    """What does not fit and what would help, the most effective change first; without a full stop."""
    advice = []
    if batch_size > 1:
        steps = training.gradient_accumulation_steps * 2
        advice += [f"--training.batch-size {batch_size // 2} --training.gradient-accumulation-steps {steps}"]
    if not training.gradient_checkpointing:
        advice += ["--training.gradient-checkpointing"]
    if block_size > 128:
        advice += [f"--tokens.block-size {block_size // 2}"]
    if training.lora_rank is None and not training.fsdp:
        advice += ["--training.lora-rank 8"]
    where = "GPU" if torch.cuda.is_available() else "machine"
    return (
        f"The {where} has too little memory for this training (batch {batch_size:,}, blocks of {block_size:,} tokens); "
        f"try {', or '.join(advice) or 'a smaller model'}"
    )
