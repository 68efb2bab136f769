"""The loss that is reported: mean negative log-likelihood over real tokens.

What comes in: a model in eval mode (or its forward) and blocks. What it leaves: nats a token, weighted by tokens, so
that it depends neither on the batch size, nor on padding, nor on how many processes share the work. (The Trainer's own
`eval_loss` divides by the unshifted count and averages over batches.)
"""

from typing import Any

import torch

from tasks.modeling.blocks import IGNORED_LABEL, Blocks

ALONE = (0, 1)
"""Rank and number of processes of a process by itself."""


@torch.inference_mode()
def mean_loss(
    model: Any, blocks: Blocks, *, batch_size: int, device: torch.device, shard: tuple[int, int] = ALONE
) -> float:
    """Token-weighted mean negative log-likelihood in nats a token.

    With `shard` (rank, processes) every process calls it, works on its part and gets the mean of all.
    """
    rank, processes = shard
    starts = list(range(0, len(blocks), batch_size))
    sums = torch.zeros(2, dtype=torch.float64)  # negative log-likelihood, tokens
    for turn in range(-(-len(starts) // processes)):
        mine = turn * processes + rank
        start = starts[min(mine, len(starts) - 1)]  # a model in shards has to be called equally often by everybody
        batch = blocks.batch(range(start, min(start + batch_size, len(blocks))))
        total = model(**{name: tensor.to(device) for name, tensor in batch.items()}, num_items_in_batch=1).loss
        if mine < len(starts):
            sums += torch.tensor([float(total), int((batch["labels"] != IGNORED_LABEL).sum())], dtype=torch.float64)
    if processes > 1:
        sums = _sum_over_processes(sums, device)
    return float(sums[0] / sums[1].clamp(min=1))


def _sum_over_processes(sums: torch.Tensor, device: torch.device) -> torch.Tensor:
    shared = sums.to(device)
    torch.distributed.all_reduce(shared)
    return shared.cpu()
