"""Tokenize: documents in, token ids out, in order, in one process or several.

What comes in: texts and a model folder or hub id that has the tokenizer. What it leaves: the ids of each text with no
special token added (packing puts the end-of-text token behind each document), batch by batch, so that neither all
texts nor all ids are ever in memory. The tokenizer's own Rust code does the work and uses every core by itself.
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
"""The most texts of a batch."""

_CHARACTERS = 2**20
"""A batch ends with the text that reaches this many characters, as long documents need memory too."""


class Encoded(NamedTuple):
    """A batch of texts: the ids of all of them in one array, and how many each text has."""

    ids: NDArray[np.int32]
    lengths: list[int]


Encode = Callable[[list[str]], Encoded]
Batches = Generator[Encoded, None, None]


def load_tokenizer(model: str, revision: str | None = None) -> Any:
    """The tokenizer of a model folder or hub id; InputError where it has none, or none with an end-of-text token."""
    from transformers import AutoTokenizer

    with loading(model):
        tokenizer = AutoTokenizer.from_pretrained(model, **({"revision": revision} if revision else {}))
    check_end_of_text(model, tokenizer)
    return tokenizer


def load_positions(model: str, revision: str | None = None) -> int:
    """The most tokens that the model can read at once, from its config."""
    from transformers import AutoConfig

    with loading(model):
        config = AutoConfig.from_pretrained(model, **({"revision": revision} if revision else {}))
    return positions(config)


def tokenize(texts: Iterable[str], tokenizer: Any, *, processes: int = 1) -> Iterator[list[int]]:
    """The ids of each text, in order."""
    for ids, lengths in tokenize_batches(texts, tokenizer, processes=processes):
        remaining = iter(ids.tolist())
        yield from (list(islice(remaining, length)) for length in lengths)


def tokenize_batches(texts: Iterable[str], tokenizer: Any, *, processes: int = 1) -> Batches:
    """The texts in order, in batches; the same ids whatever `processes` is (1,000 texts or fewer take one).

    At most two batches a process are in memory. Whoever stops half-way closes the iterator, and no process is left.
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
        if len(batch) == BATCH or characters >= _CHARACTERS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch


def _encoder(tokenizer: Any) -> Encode:
    """What encodes a batch; it can be sent to another process, which then needs not import transformers."""
    if not tokenizer.is_fast:
        return partial(_encode_slowly, tokenizer)
    backend = tokenizer.backend_tokenizer
    backend.no_truncation()  # as a call of the tokenizer does: a tokenizer.json may have been saved with either
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
            with _uninterrupted():
                waiting.append(pool.submit(_encode_in_child, batch))
            if len(waiting) == 2 * processes:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Hold Ctrl-C back: a process started in the block never gets it, it is the parent that ends it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


_of_this_child: list[Encode] = []


def _start_child(encode: Encode) -> None:
    """Begin a process of the pool: one core is its own, and it ends when its parent does, even by kill -9."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    _of_this_child.append(encode)
    threading.Thread(target=_end_with_the_parent, daemon=True).start()


def _end_with_the_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _encode_in_child(texts: list[str]) -> Encoded:
    return _of_this_child[0](texts)
