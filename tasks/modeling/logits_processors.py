"""Logits processors for `model.generate(do_sample=False)`: forbidden tokens, and sampling with a seed per row.

Hugging Face's own sampling draws from one stream of random numbers for the whole batch, so a sample would depend on
its neighbours. Here each row has its own stream and its i-th token uses number i: other rows and their lengths do not
matter.
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
from transformers.models.gpt2.tokenization_gpt2 import bytes_to_unicode

from tasks.errors import InputError
from tasks.parameters import SamplingParameters

NEVER = float("-inf")

Prefixes = tuple[tuple[int, int], ...]
"""Pairs of a word's index and how many of its characters are already written: at least (index, 0) for each word."""


def constraint_processors(sampling: SamplingParameters, tokenizer: Any, padding: Sequence[int]) -> LogitsProcessorList:
    """Forbid bad words and repeated n-grams; `padding` is the number of pad tokens on the left of each row."""
    processors = LogitsProcessorList()
    if sampling.bad_words:
        processors.append(BadWordsProcessor(sampling.bad_words, tokenizer, padding))
    if sampling.no_repeat_ngram_size:
        processors.append(NoRepeatNGramProcessor(sampling.no_repeat_ngram_size, padding))
    processors.append(EndOfTextFallback(tokenizer.eos_token_id))
    return processors


def sampling_processors(sampling: SamplingParameters, seeds: Sequence[int]) -> LogitsProcessorList:
    """Temperature, top k and top p in Hugging Face's order, then a seeded draw, with one seed per row."""
    processors = LogitsProcessorList()
    if sampling.temperature != 1:
        processors.append(TemperatureLogitsWarper(sampling.temperature))
    if sampling.top_k:
        processors.append(TopKLogitsWarper(sampling.top_k))
    if sampling.top_p < 1:
        processors.append(TopPLogitsWarper(sampling.top_p))
    processors.append(SeededSampler(seeds, sampling.max_length))
    return processors


class SeededSampler(LogitsProcessor):
    """Draws one token per row from softmax(scores) and masks all others. Use one object per generation.

    The draw inverts the cumulative distribution, in double precision and in the order of the vocabulary. A rounding
    difference in the scores (another device, another batch) moves the boundaries by no more than itself, so it changes
    about one token in a million. The random numbers come from NumPy, because PyTorch's CPU generator uses only 32 bits
    of a seed.
    """

    def __init__(self, seeds: Sequence[int], max_length: int) -> None:
        """Draw the random numbers of all rows, one per token that they can write: [B, max_length]."""
        self._numbers = torch.from_numpy(np.stack([np.random.default_rng(seed).random(max_length) for seed in seeds]))
        self._written = 0

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        """Scores [B, V] with 0 at the drawn token and minus infinity everywhere else."""
        device = torch.device("cpu") if scores.device.type == "mps" else scores.device  # MPS has no float64
        cumulative = torch.softmax(scores.to(device), dim=-1, dtype=torch.float64).cumsum(dim=-1)
        total = cumulative[:, -1:]
        numbers = self._numbers[:, self._written, None].to(device)
        self._written += 1
        below = torch.minimum(numbers * total, torch.nextafter(total, torch.zeros_like(total)))
        drawn = torch.searchsorted(cumulative, below, right=True).to(scores.device)  # [B, 1]
        return torch.full_like(scores, NEVER).scatter_(1, drawn, 0.0)  # type: ignore[return-value]


class NoRepeatNGramProcessor(LogitsProcessor):
    """Forbids each token that would repeat an n-gram of `size` tokens; unlike Hugging Face's, it ignores pad tokens."""

    def __init__(self, size: int, padding: Sequence[int]) -> None:
        self._size, self._padding = size, torch.tensor(padding)[:, None]

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        """Scores [B, V] with minus infinity at each token that would repeat an n-gram of `input_ids` [B, T]."""
        length = input_ids.shape[1]
        if length < self._size:
            return scores
        ngrams = input_ids.unfold(1, self._size, 1)  # [B, T - size + 1, size]
        prefix = input_ids[:, None, length - self._size + 1 :]  # [B, 1, size - 1]
        offsets = torch.arange(ngrams.shape[1], device=input_ids.device)
        repeated = (ngrams[:, :, :-1] == prefix).all(dim=-1) & (offsets >= self._padding.to(input_ids.device))
        rows, at = repeated.nonzero(as_tuple=True)
        scores = scores.clone()  # type: ignore[assignment]
        scores[rows, ngrams[rows, at, -1]] = NEVER
        return scores


class EndOfTextFallback(LogitsProcessor):
    """Ends a row in which every token is forbidden, even below min_length; otherwise a forbidden token would follow."""

    def __init__(self, eos_token_id: int) -> None:
        self._eos_token_id = eos_token_id

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        """Scores [B, V] with at least one token allowed per row; InputError if the model's scores are NaN."""
        best = scores.amax(dim=-1)
        if best.isnan().any():
            raise InputError(
                "The model scores its tokens with NaN: its weights are damaged; choose another --model.name, or "
                "train again with a lower --training.learning-rate."
            )
        if (nothing := best == NEVER).any():
            scores = scores.clone()  # type: ignore[assignment]
            scores[nothing, self._eos_token_id] = 0.0
        return scores


class BadWordsProcessor(LogitsProcessor):
    """Forbids every token that would complete one of the words, however the tokens spell it.

    Happy Transformer's `bad_words_ids` forbid only the spelling that the tokenizer produces after a space: a word at
    the beginning of a text, or split into other tokens, would still be written. The tokenizer must be byte-level.
    """

    def __init__(self, words: Sequence[str], tokenizer: Any, padding: Sequence[int]) -> None:
        """Spell the vocabulary; a word is matched without the spaces around it, and with its case.

        `padding` is the number of pad tokens on the left of each row: they are not text, nor are special tokens.
        """
        self._words = [_spell(word.strip()) for word in words if word.strip()]
        self._longest = max(map(len, self._words), default=0)
        self._spelling = _spellings(tokenizer)
        self._padding = padding
        self._completing: dict[tuple[int, int], list[int]] = {}
        self._masks: dict[Prefixes, torch.Tensor] = {}

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        """Scores [B, V] with minus infinity at each token that would complete a word after `input_ids` [B, T]."""
        rows = zip(input_ids.tolist(), self._padding, strict=True)
        masks = [self._mask(self._prefixes(self._tail(ids[padding:])), scores) for ids, padding in rows]
        return scores.masked_fill(torch.stack(masks), NEVER)  # type: ignore[return-value]

    def _tail(self, ids: list[int]) -> str:
        """The last characters that `ids` stand for: as many as the longest word needs, or all there are."""
        text = ""
        for token in reversed(ids):
            if len(text) >= self._longest:
                break
            text = self._spelling.get(token, "") + text
        return text

    def _prefixes(self, text: str) -> Prefixes:
        """The prefixes of words that `text` ends with."""
        return tuple(
            (index, length)
            for index, word in enumerate(self._words)
            for length in range(len(word))
            if text.endswith(word[:length])
        )

    def _mask(self, prefixes: Prefixes, scores: torch.Tensor) -> torch.Tensor:
        """Which tokens [V] would complete one of the words; cached, since there are few different masks."""
        if prefixes not in self._masks:
            mask = torch.zeros(scores.shape[-1], dtype=torch.bool)
            for index, length in prefixes:
                mask[self._completed_by(index, length)] = True
            self._masks[prefixes] = mask.to(scores.device)
        return self._masks[prefixes]

    def _completed_by(self, index: int, length: int) -> list[int]:
        """The tokens that complete word `index` when its first `length` characters are written."""
        if (index, length) not in self._completing:
            word = self._words[index]
            fits = (lambda token: word in token) if length == 0 else (lambda token: token.startswith(word[length:]))
            self._completing[index, length] = [number for number, token in self._spelling.items() if fits(token)]
        return self._completing[index, length]


def _spellings(tokenizer: Any) -> dict[int, str]:
    """What each token adds to the text, one character per byte; special tokens, which decoding skips, are left out."""
    names = tokenizer.convert_ids_to_tokens(range(len(tokenizer)))
    added = {number: _spell(token.content) for number, token in tokenizer.added_tokens_decoder.items()}
    spelling = {number: name for number, name in enumerate(names) if name is not None} | added
    special = {number for number, token in tokenizer.added_tokens_decoder.items() if token.special}
    special |= set(tokenizer.all_special_ids)
    return {number: name for number, name in spelling.items() if number not in special}


def _spell(text: str) -> str:
    byte_names = bytes_to_unicode()
    return "".join(byte_names[byte] for byte in text.encode())
