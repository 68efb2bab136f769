"""Tokenization of documents, batch by batch, in one process or several.

No special token is added: packing puts the end-of-text token after each document. Neither all texts nor all ids are in
memory at once. The tokenizer's Rust code uses every core by itself.
"""

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from itertools import chain, islice
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tasks.modeling.loading import check_end_of_text, loading, positions

BATCH = 1000
"""The most texts in a batch."""

_MAX_CHARACTERS = 2**20
"""A batch ends with the text that reaches this many characters, since long documents need more memory."""


class Encoded(NamedTuple):
    """The ids of a batch of texts in one array, and the number of ids per text."""

    ids: NDArray[np.int32]
    lengths: list[int]


Encode = Callable[[list[str]], Encoded]
Batches = Generator[Encoded, None, None]


def load_tokenizer(model: str, revision: str | None = None) -> Any:
    """The tokenizer of a model folder or hub id; InputError if it has none, or if that has no end-of-text token."""
    from transformers import AutoTokenizer

    with loading(model):
        tokenizer = AutoTokenizer.from_pretrained(model, revision=revision or "main")
    check_end_of_text(model, tokenizer)
    return tokenizer


def load_positions(model: str, revision: str | None = None) -> int:
    """The context length of a model in tokens, from its config."""
    from transformers import AutoConfig

    with loading(model):
        config = AutoConfig.from_pretrained(model, revision=revision or "main")
    return positions(config)


def tokenize(texts: Iterable[str], tokenizer: Any, *, processes: int = 1) -> Iterator[list[int]]:
    """Yield the ids of each text, in order."""
    for ids, lengths in tokenize_batches(texts, tokenizer, processes=processes):
        remaining = iter(ids.tolist())
        yield from (list(islice(remaining, length)) for length in lengths)


def tokenize_batches(texts: Iterable[str], tokenizer: Any, *, processes: int = 1) -> Batches:
    """Yield the ids of the texts in order, in batches; `processes` (1 for 1,000 texts or fewer) does not change them.

    At most two batches per process are in memory. Closing the generator early ends all processes.
    """
    encode = _encoder(tokenizer)
    batches = _batches(texts)
    first = list(islice(batches, 2))
    batches = chain(first, batches)
    if processes == 1 or len(first) < 2:
        return (encode(batch) for batch in batches)
    return _encode_in_processes(batches, encode, processes)


def _batches(texts: Iterable[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    characters = 0
    for text in texts:
        batch.append(text)
        characters += len(text)
        if len(batch) == BATCH or characters >= _MAX_CHARACTERS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch


def _encoder(tokenizer: Any) -> Encode:
    """A function that encodes a batch; it can be sent to another process, which then need not import transformers."""
    if not tokenizer.is_fast:
        return partial(_encode_slowly, tokenizer)
    backend = tokenizer.backend_tokenizer
    backend.no_truncation()  # as calling the tokenizer does: a tokenizer.json may have been saved with either
    backend.no_padding()
    backend.encode_special_tokens = tokenizer.split_special_tokens
    return partial(_encode_fast, backend)


def _encode_fast(backend: Any, texts: list[str]) -> Encoded:
    return _joined([encoding.ids for encoding in backend.encode_batch_fast(texts, add_special_tokens=False)])


def _encode_slowly(tokenizer: Any, texts: list[str]) -> Encoded:
    return _joined(tokenizer(texts, add_special_tokens=False, return_attention_mask=False, verbose=False)["input_ids"])


def _joined(ids: Sequence[Sequence[int]]) -> Encoded:
    lengths = list(map(len, ids))
    return Encoded(np.fromiter(chain.from_iterable(ids), dtype=np.int32, count=sum(lengths)), lengths)


def _encode_in_processes(batches: Iterable[list[str]], encode: Encode, processes: int) -> Batches:
    waiting: deque[Future[Encoded]] = deque()
    pool = ProcessPoolExecutor(
        processes, mp_context=multiprocessing.get_context("spawn"), initializer=_start_child, initargs=(encode,)
    )
    try:
        for batch in batches:
            with _sigint_blocked():
                waiting.append(pool.submit(_encode_in_child, batch))
            if len(waiting) == 2 * processes:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def _sigint_blocked() -> Iterator[None]:
    """Block SIGINT: a process that is started in the block never receives it; its parent ends it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


_encoders: list[Encode] = []


def _start_child(encode: Encode) -> None:
    """Initialize a process of the pool: it uses one core, and ends when its parent ends, even by kill -9."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    _encoders.append(encode)
    threading.Thread(target=_exit_with_parent, daemon=True).start()


def _exit_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _encode_in_child(texts: list[str]) -> Encoded:
    return _encoders[0](texts)
