"""The loss that is reported: mean negative log-likelihood over real tokens.

What comes in: a model and rows of equal length (labels -100 where a token does not count). What it leaves: nats a
token, weighted by tokens, so that it depends neither on the batch size nor on padding. (The Trainer's own `eval_loss`
divides by the unshifted count and averages over batches.)
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn.functional import cross_entropy

Row = dict[str, list[int]]


@torch.inference_mode()
def mean_loss(model: Any, rows: Sequence[Row], *, batch_size: int) -> float:
    """Token-weighted mean negative log-likelihood in nats a token; the model is put in eval mode."""
    model.eval()
    total, count = 0.0, 0
    for start in range(0, len(rows), batch_size):
        batch = _tensors(rows[start : start + batch_size], model.device)
        logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits  # [B, T, V]
        targets = batch["labels"][:, 1:].reshape(-1)  # [B*(T-1)]
        predictions = logits[:, :-1].reshape(-1, logits.size(-1)).float()  # [B*(T-1), V]
        total += float(cross_entropy(predictions, targets, ignore_index=-100, reduction="sum"))
        count += int((targets != -100).sum())
    return total / max(count, 1)


def _tensors(rows: Sequence[Row], device: torch.device) -> dict[str, torch.Tensor]:
    return {name: torch.tensor([row[name] for row in rows], device=device) for name in rows[0]}
