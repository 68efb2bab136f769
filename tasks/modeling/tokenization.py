"""Tokenize: documents in, token ids out, in order, in one process or several.

What comes in: texts and a model folder or hub id that has the tokenizer. What it leaves: the ids of each text with no
special token added (packing puts the end-of-text token behind each document).
"""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import chain, islice
from multiprocessing import get_context
from typing import Any

from transformers import AutoConfig, AutoTokenizer

from tasks.modeling.loading import check_end_of_text, loading, positions

BATCH = 1000


def load_tokenizer(model: str, revision: str | None = None) -> Any:
    """The tokenizer of a model folder or hub id; InputError where it has none, or none with an end-of-text token."""
    with loading(model):
        tokenizer = AutoTokenizer.from_pretrained(model, **({"revision": revision} if revision else {}))
    check_end_of_text(model, tokenizer)
    return tokenizer


def load_positions(model: str, revision: str | None = None) -> int:
    """The most tokens that the model can read at once, from its config."""
    with loading(model):
        config = AutoConfig.from_pretrained(model, **({"revision": revision} if revision else {}))
    return positions(config)


def tokenize(texts: Iterable[str], tokenizer: Any, *, processes: int = 1) -> Iterator[list[int]]:
    """The ids of each text, in order; the same ids whatever `processes` is (1,000 texts or fewer take one)."""
    batches = _batches(texts)
    first = list(islice(batches, 2))
    batches = chain(first, batches)
    if processes == 1 or len(first) < 2:
        for batch in batches:
            yield from _encode(tokenizer, batch)
        return
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        for encoded in pool.map(partial(_encode, tokenizer), batches):
            yield from encoded


def _batches(texts: Iterable[str]) -> Iterator[tuple[str, ...]]:
    texts = iter(texts)
    while batch := tuple(islice(texts, BATCH)):
        yield batch


def _encode(tokenizer: Any, texts: Sequence[str]) -> list[list[int]]:
    encoded: list[list[int]] = tokenizer(
        list(texts), add_special_tokens=False, return_attention_mask=False, verbose=False
    )["input_ids"]
    return encoded
