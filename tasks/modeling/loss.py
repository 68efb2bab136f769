"""The reported loss: mean negative log-likelihood per real token, in nats.

It is weighted by tokens, so it depends neither on the batch size, nor on padding, nor on how many processes share the
work. The Trainer's own `eval_loss` divides by the unshifted count and averages over batches.
"""

from typing import Any

import torch

from tasks.modeling.blocks import IGNORED_LABEL, Blocks

SINGLE_PROCESS = (0, 1)
"""Rank and number of processes."""


@torch.inference_mode()
def mean_loss(
    model: Any, blocks: Blocks, *, batch_size: int, device: torch.device, shard: tuple[int, int] = SINGLE_PROCESS
) -> float:
    """Token-weighted mean negative log-likelihood in nats per token; `model` is one in eval mode, or its `forward`.

    With `shard` (rank, processes) every process calls it, computes its part and returns the mean of all.
    """
    rank, processes = shard
    starts = list(range(0, len(blocks), batch_size))
    sums = torch.zeros(2, dtype=torch.float64)  # negative log-likelihood, tokens
    for turn in range(-(-len(starts) // processes)):
        mine = turn * processes + rank
        start = starts[min(mine, len(starts) - 1)]  # every process must call a sharded model equally often
        batch = blocks.batch(range(start, min(start + batch_size, len(blocks))))
        total = model(**{name: tensor.to(device) for name, tensor in batch.items()}, num_items_in_batch=1).loss
        if mine < len(starts):
            sums += torch.tensor([float(total), int((batch["labels"] != IGNORED_LABEL).sum())], dtype=torch.float64)
    if processes > 1:
        shared = sums.to(device)
        torch.distributed.all_reduce(shared)
        sums = shared.cpu()
    return float(sums[0] / sums[1].clamp(min=1))
