"""Devices: the precision that a training uses, and one sentence for a device that cannot do what is asked.

What comes in: training parameters and the device of this process. What it leaves: `fp32`, `bf16` or `fp16`; InputError
where the device lacks it, or where memory ran out, with what to change.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch

from tasks.errors import InputError
from tasks.parameters import TrainingParameters

Precision = Literal["fp32", "bf16", "fp16"]
_CPU_FULL = "can't allocate memory"
"""What torch's CPU allocator says."""


def check_device(training: TrainingParameters) -> None:
    """Raise InputError where a GPU is asked for that this machine does not have."""
    if training.fp16 and not torch.cuda.is_available():
        raise InputError(
            "--training.fp16 needs a CUDA GPU and this machine has none; leave --training.fp16 out to train in full "
            "precision, or run on the GPU work pool."
        )
    if training.fsdp and not torch.cuda.is_available():
        raise InputError(
            "--training.fsdp needs CUDA GPUs and this machine has none; leave --training.fsdp out, or run on the GPU "
            "work pool."
        )


def choose_precision(training: TrainingParameters) -> Precision:
    """What the parameters ask for; bfloat16 where they leave it out and the hardware computes in it."""
    if training.fp16:
        return "fp16"
    return "bf16" if (_has_bf16() if training.bf16 is None else training.bf16) else "fp32"


def _has_bf16() -> bool:
    """Whether GPU or CPU has instructions for bfloat16 (emulated, it is slower than full precision)."""
    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    has_onednn = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return has_onednn and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def local_world_size(training: TrainingParameters) -> int:
    """How many processes train on this machine: as asked for, or one for each GPU."""
    return training.num_processes or max(torch.cuda.device_count(), 1)


def world_size(training: TrainingParameters) -> int:
    """How many processes train together on all machines, whose number torchrun is told by PET_NNODES."""
    machines = os.environ.get("PET_NNODES", "1")
    if not machines.isdecimal():
        raise InputError(
            f"PET_NNODES={machines}: the training needs a fixed number of machines; set PET_NNODES to one."
        )
    return local_world_size(training) * int(machines)


@contextmanager
def memory_explained(training: TrainingParameters, *, batch_size: int, block_size: int) -> Iterator[None]:
    """Memory that ran out in the block, on GPU or CPU, becomes an InputError that says what to change."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise InputError(out_of_memory(training, batch_size=batch_size, block_size=block_size)) from error
    except RuntimeError as error:
        if _CPU_FULL not in str(error):
            raise
        raise InputError(out_of_memory(training, batch_size=batch_size, block_size=block_size)) from error


def out_of_memory(training: TrainingParameters, *, batch_size: int, block_size: int) -> str:
    """The sentence for a training that ran out of memory."""
    advice = memory_advice(training, batch_size=batch_size, block_size=block_size)
    return f"{advice}; python flows/train.py --plan says what is needed. The last checkpoint is kept."


def memory_advice(training: TrainingParameters, *, batch_size: int, block_size: int) -> str:
    """What does not fit and the changes that would help, those that help most first; without a full stop."""
    advice = []
    if batch_size > 1:
        wanted = training.gradient_accumulation_steps * 2
        advice += [f"--training.batch-size {batch_size // 2} --training.gradient-accumulation-steps {wanted}"]
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
