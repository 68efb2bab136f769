"""Drawing: the scores of the next token in, the token that is written out.

What comes in: sampling parameters, and for each row of a batch its seed and how many pads stand at its left. What it
leaves: the logits processors for `model.generate(do_sample=False)`, which takes the one token that they let through.
Hugging Face's own sampling has one stream of random numbers for the whole batch, so a sample would hang on its
neighbours. Here each row has numbers of its own, number i for the i-th token it writes: what the others do, and how
long they take, does not matter.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from transformers import (
    LogitsProcessor,
    LogitsProcessorList,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from tasks.errors import InputError
from tasks.modeling.bad_words import NeverWritten
from tasks.parameters import SamplingParameters

NEVER = float("-inf")


def limits(sampling: SamplingParameters, tokenizer: Any, pads: Sequence[int]) -> LogitsProcessorList:
    """What may be written: no bad word, no run twice; `pads` is how many pads stand at the left of each row."""
    processors = LogitsProcessorList()
    if sampling.bad_words:
        processors.append(NeverWritten(sampling.bad_words, tokenizer, pads))
    if sampling.no_repeat_ngram_size:
        processors.append(NoRunTwice(sampling.no_repeat_ngram_size, pads))
    processors.append(EndWhereNothingIsLeft(tokenizer.eos_token_id))
    return processors


def seeded_draw(sampling: SamplingParameters, seeds: Sequence[int]) -> LogitsProcessorList:
    """Temperature, top k and top p in Hugging Face's order, and a draw from what they leave, a seed for each row."""
    processors = LogitsProcessorList()
    if sampling.temperature != 1:
        processors.append(TemperatureLogitsWarper(sampling.temperature))
    if sampling.top_k:
        processors.append(TopKLogitsWarper(sampling.top_k))
    if sampling.top_p < 1:
        processors.append(TopPLogitsWarper(sampling.top_p))
    processors.append(SeededDraw(seeds, sampling.max_length))
    return processors


class SeededDraw(LogitsProcessor):
    """Draws one token for each row from softmax(scores) and lets no other through. One object serves one generation.

    The draw inverts the cumulative distribution, in double precision and in the order of the vocabulary. A rounding
    difference in the scores (another device, another batch) moves its borders as little as itself, so it changes a
    token about once in a million. The numbers come from NumPy, as PyTorch's generator on the CPU takes no more than 32
    bits of a seed.
    """

    def __init__(self, seeds: Sequence[int], max_length: int) -> None:
        """The numbers of all rows, one for each token that they can write: [B, max_length]."""
        self._numbers = torch.from_numpy(np.stack([np.random.default_rng(seed).random(max_length) for seed in seeds]))
        self._written = 0

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        """Scores [B, V] with 0 at the token that was drawn and minus infinity elsewhere."""
        device = torch.device("cpu") if scores.device.type == "mps" else scores.device  # MPS has no doubles
        cumulative = torch.softmax(scores.to(device), dim=-1, dtype=torch.float64).cumsum(dim=-1)
        total = cumulative[:, -1:]
        numbers = self._numbers[:, self._written, None].to(device)
        self._written += 1
        below = torch.minimum(numbers * total, torch.nextafter(total, torch.zeros_like(total)))
        drawn = torch.searchsorted(cumulative, below, right=True).to(scores.device)  # [B, 1]
        return torch.full_like(scores, NEVER).scatter_(1, drawn, 0.0)  # type: ignore[return-value]


class NoRunTwice(LogitsProcessor):
    """Forbids each token that would complete a run of `size` tokens for the second time; pads are no part of a run."""

    def __init__(self, size: int, pads: Sequence[int]) -> None:
        self._size, self._pads = size, torch.tensor(pads)[:, None]

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        """Scores [B, V] with minus infinity at what would repeat a run of `input_ids` [B, T]."""
        length = input_ids.shape[1]
        if length < self._size:
            return scores
        runs = input_ids.unfold(1, self._size, 1)  # [B, T - size + 1, size]
        begun = input_ids[:, None, length - self._size + 1 :]  # [B, 1, size - 1]
        places = torch.arange(runs.shape[1], device=input_ids.device)
        repeated = (runs[:, :, :-1] == begun).all(dim=-1) & (places >= self._pads.to(input_ids.device))
        rows, at = repeated.nonzero(as_tuple=True)
        scores = scores.clone()  # type: ignore[assignment]
        scores[rows, runs[rows, at, -1]] = NEVER
        return scores


class EndWhereNothingIsLeft(LogitsProcessor):
    """Lets a row end in which no token may be written (else one that is forbidden would be), even below min_length."""

    def __init__(self, end: int) -> None:
        self._end = end

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        """Scores [B, V] with at least one token in each row; InputError where the model gave no numbers."""
        best = scores.amax(dim=-1)
        if best.isnan().any():
            raise InputError(
                "The model scores its tokens with NaN: its weights are damaged; take another --model.name, or "
                "train again with a lower --training.learning-rate."
            )
        if (nothing := best == NEVER).any():
            scores = scores.clone()  # type: ignore[assignment]
            scores[nothing, self._end] = 0.0
        return scores
