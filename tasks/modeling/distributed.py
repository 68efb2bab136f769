"""Agreement between the processes of a distributed training, before the trainer starts."""

import os
from typing import TypeVar

import torch

Value = TypeVar("Value")


def broadcast_from_first(value: Value) -> Value:
    """The value of the first process, in every process; the first call joins the process group that torchrun set up."""
    if not torch.distributed.is_initialized():
        cuda = torch.cuda.is_available()
        if cuda:
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        else:
            os.environ["ACCELERATE_USE_CPU"] = "true"  # otherwise accelerate looks for a GPU and assumes one process
        torch.distributed.init_process_group("nccl" if cuda else "gloo")
    values = [value]
    torch.distributed.broadcast_object_list(values, src=0)
    return values[0]
