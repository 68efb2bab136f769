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


class NeverWritten(LogitsProcessor):
    """Forbids every token after which the text would hold one of the words."""

    def __init__(self, words: Sequence[str], tokenizer: Any) -> None:
        """Spell the vocabulary; a word counts without the spaces around it, and in its case."""
        byte_names = bytes_to_unicode()
        self._words = ["".join(byte_names[byte] for byte in word.strip().encode()) for word in words if word.strip()]
        tokens = tokenizer.convert_ids_to_tokens(range(len(tokenizer)))
        self._spelling = {token_id: token for token_id, token in enumerate(tokens) if token is not None}
        self._forbidden: dict[tuple[int, int], torch.Tensor] = {}

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        """Scores [B, V] with minus infinity at each token that would complete a word behind `input_ids` [B, T]."""
        scores = scores.clone()  # type: ignore[assignment]
        for row, ids in enumerate(input_ids.tolist()):
            for index, word in enumerate(self._words):
                text = "".join(self._spelling.get(token, "") for token in ids[-len(word) :])
                for begun in range(len(word)):
                    if text.endswith(word[:begun]):
                        scores[row, self._completing(index, begun).to(scores.device)] = float("-inf")
        return scores

    def _completing(self, index: int, begun: int) -> torch.Tensor:
        """The tokens that complete word `index` where its first `begun` characters are written."""
        if (index, begun) not in self._forbidden:
            word = self._words[index]
            fits = (lambda token: word in token) if begun == 0 else (lambda token: token.startswith(word[begun:]))
            ids = [token_id for token_id, token in self._spelling.items() if fits(token)]
            self._forbidden[index, begun] = torch.tensor(ids, dtype=torch.long)
        return self._forbidden[index, begun]
