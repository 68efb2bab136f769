"""Bad words: characters that are never written, whatever tokens would spell them.

What comes in: the words and a byte-level tokenizer. What it leaves: a logits processor that takes away each token
which would complete a word. (Happy Transformer's own `bad_words_ids` forbid one spelling only, the one that the
tokenizer gives behind a space: a word that begins the text, or is cut otherwise, is written all the same.)
"""

from collections.abc import Sequence
from typing import Any

import torch
from transformers import LogitsProcessor
from transformers.models.gpt2.tokenization_gpt2 import bytes_to_unicode

Begun = tuple[tuple[int, int], ...]
"""Pairs of a word's index and how many of its characters are written: 0 at least, as every word can begin anywhere."""


class NeverWritten(LogitsProcessor):
    """Forbids every token after which the text would hold one of the words."""

    def __init__(self, words: Sequence[str], tokenizer: Any, pads: Sequence[int]) -> None:
        """Spell the vocabulary; a word counts without the spaces around it, and in its case.

        `pads` is how many pads stand at the left of each row: they are no text, and neither are special tokens.
        """
        self._words = [_spell(word.strip()) for word in words if word.strip()]
        self._longest = max(map(len, self._words), default=0)
        self._spelling = _spellings(tokenizer)
        self._pads = pads
        self._completing: dict[tuple[int, int], list[int]] = {}
        self._masks: dict[Begun, torch.Tensor] = {}

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        """Scores [B, V] with minus infinity at each token that would complete a word behind `input_ids` [B, T]."""
        rows = zip(input_ids.tolist(), self._pads, strict=True)
        masks = [self._mask(self._begun(self._end_of(ids[pads:])), scores) for ids, pads in rows]
        return scores.masked_fill(torch.stack(masks), float("-inf"))  # type: ignore[return-value]

    def _end_of(self, ids: list[int]) -> str:
        """The last characters that `ids` stand for: as many as the longest word needs, or all there are."""
        text = ""
        for token in reversed(ids):
            if len(text) >= self._longest:
                break
            text = self._spelling.get(token, "") + text
        return text

    def _begun(self, text: str) -> Begun:
        """The words that the end of `text` begins."""
        return tuple(
            (index, begun)
            for index, word in enumerate(self._words)
            for begun in range(len(word))
            if text.endswith(word[:begun])
        )

    def _mask(self, begun: Begun, scores: torch.Tensor) -> torch.Tensor:
        """Which tokens [V] would complete one of the words; there are few such masks, and each is made once."""
        if begun not in self._masks:
            mask = torch.zeros(scores.shape[-1], dtype=torch.bool)
            for index, characters in begun:
                mask[self._completed_by(index, characters)] = True
            self._masks[begun] = mask.to(scores.device)
        return self._masks[begun]

    def _completed_by(self, index: int, begun: int) -> list[int]:
        """The tokens that complete word `index` where its first `begun` characters are written."""
        if (index, begun) not in self._completing:
            word = self._words[index]
            fits = (lambda token: word in token) if begun == 0 else (lambda token: token.startswith(word[begun:]))
            self._completing[index, begun] = [number for number, token in self._spelling.items() if fits(token)]
        return self._completing[index, begun]


def _spellings(tokenizer: Any) -> dict[int, str]:
    """What each token adds to the text, a character for a byte: nothing, where decoding skips it."""
    names = tokenizer.convert_ids_to_tokens(range(len(tokenizer)))
    added = {number: _spell(token.content) for number, token in tokenizer.added_tokens_decoder.items()}
    spelling = {number: name for number, name in enumerate(names) if name is not None} | added
    special = {number for number, token in tokenizer.added_tokens_decoder.items() if token.special}
    special |= set(tokenizer.all_special_ids)
    return {number: name for number, name in spelling.items() if number not in special}


def _spell(text: str) -> str:
    byte_names = bytes_to_unicode()
    return "".join(byte_names[byte] for byte in text.encode())
