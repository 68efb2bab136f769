"""Together: what several processes of one training have to agree on before they begin.

What comes in: a value of the first process. What it leaves: the same value in all of them. The processes were started
by torchrun, which tells them in the environment who they are.
"""

import os
from typing import TypeVar

import torch

Value = TypeVar("Value")


def agree(value: Value) -> Value:
    """The first process's value, in every process; they join on the first call."""
    if not torch.distributed.is_initialized():
        cuda = torch.cuda.is_available()
        if cuda:
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        else:
            os.environ["ACCELERATE_USE_CPU"] = "true"  # else accelerate looks for a GPU and takes us for alone
        torch.distributed.init_process_group("nccl" if cuda else "gloo")
    told = [value]
    torch.distributed.broadcast_object_list(told, src=0)
    return told[0]
