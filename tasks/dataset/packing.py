"""Packs the token ids of documents into blocks of one size, cut from the whole corpus without losing a token.

Packing batch by batch would drop the tail of every batch, or leave blocks of unequal length.
"""

import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_MAX_SIZE, _USUAL_MIN_SIZE, _MIN_SIZE = 1024, 128, 32
_ENOUGH_BLOCKS, _FEW_BLOCKS = 32, 16
_BYTES_AT_ONCE = 2**20


class TokenRun:
    """The token ids of documents, one after another, each followed by the end-of-text id; 4 bytes per token on disk.

    They are in a file of `folder` that has no name: it is gone when the run is closed or its process is killed.
    """

    def __init__(self, folder: Path, *, eos_token_id: int) -> None:
        self.documents: Counter[int] = Counter()
        """Length in tokens (end-of-text included) → number of documents of that length."""
        self._eos_token_id = eos_token_id
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 (closed with the run)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._file.close()

    @property
    def tokens(self) -> int:
        """Tokens of all documents."""
        return sum(length * number for length, number in self.documents.items())

    def add(self, ids: "NDArray[np.int32]", lengths: Sequence[int]) -> None:
        """Append documents; `lengths` has the number of ids of each."""
        self._file.write(end_documents(ids, lengths, eos_token_id=self._eos_token_id).tobytes())
        self.documents.update(length + 1 for length in lengths)

    def blocks(self, block_size: int) -> "Iterator[NDArray[np.int32]]":
        """Yield all blocks, as `cut` makes them; nothing may be added meanwhile."""
        self._file.flush()
        return cut(self._parts(), block_size=block_size)

    def _parts(self) -> "Iterator[NDArray[np.int32]]":
        import numpy as np

        self._file.seek(0)
        while part := self._file.read(_BYTES_AT_ONCE):
            yield np.frombuffer(part, dtype=np.int32)


def end_documents(
    ids: "Sequence[int] | NDArray[np.int32]", lengths: Sequence[int], *, eos_token_id: int
) -> "NDArray[np.int32]":
    """Return the ids with an end-of-text id after each document; `lengths` has the number of ids of each."""
    import numpy as np

    return np.insert(np.asarray(ids, dtype=np.int32), list(accumulate(lengths)), eos_token_id)


def cut(runs: "Iterable[NDArray[np.int32]]", *, block_size: int) -> "Iterator[NDArray[np.int32]]":
    """Cut one run of ids that comes in parts into blocks and yield them in order; one part is in memory.

    Every block has block_size ids but the last, which has 1 to block_size. ValueError if block_size is below 1.
    """
    import numpy as np

    if block_size < 1:
        raise ValueError(f"a block of {block_size} tokens holds nothing; block_size must be 1 or more")
    rest = np.empty(0, dtype=np.int32)
    for run in runs:
        ids = np.concatenate([rest, run])
        full = len(ids) - len(ids) % block_size
        yield from ids[:full].reshape(-1, block_size)
        rest = ids[full:].copy()
    if len(rest):
        yield rest


def choose_block_size(documents: Mapping[int, int], *, max_positions: int) -> int:
    """Choose a block size, a power of two, from how many documents have each length in tokens (end-of-text included).

    The smallest that holds 99 % of the documents whole, at least 128, at most 1,024 and max_positions (the model's
    limit, which wins over every other bound). It is then halved while it gives fewer than 32 blocks, but not below 32
    nor below what holds the median document: few blocks mean few optimizer steps per epoch.
    ValueError if there are no documents or max_positions is below 1.
    """
    number = sum(documents.values())
    if not number or max_positions < 1:
        raise ValueError(f"got {number} lengths and max_positions={max_positions}, both must be 1 or more")
    nearly_longest = _length_at(documents, -(-99 * number // 100) - 1)
    limit = min(_MAX_SIZE, 1 << (max_positions.bit_length() - 1))
    size = min(max(_power_of_two(nearly_longest), _USUAL_MIN_SIZE), limit)
    smallest = max(_power_of_two(_length_at(documents, number // 2)), _MIN_SIZE)
    tokens = sum(length * some for length, some in documents.items())
    while size > smallest and -(-tokens // size) < _ENOUGH_BLOCKS:
        size //= 2
    return size


def block_size_warning(train_blocks: int, *, block_size: int) -> str | None:
    """Return a sentence if there are fewer than 16 blocks to train on, else None."""
    if train_blocks >= _FEW_BLOCKS:
        return None
    blocks, steps = ("row", "step") if train_blocks == 1 else ("rows", "steps")
    return (
        f"the corpus packs into only {train_blocks} {blocks} of {block_size:,} tokens to train on, that is "
        f"{train_blocks} optimizer {steps} per epoch at batch size 1; add documents, train for more epochs or set a "
        "smaller --tokens.block-size"
    )


def _length_at(documents: Mapping[int, int], rank: int) -> int:
    """Return the length of the document at this rank, from 0, of all documents from the shortest to the longest."""
    lengths = sorted(documents)
    ends = accumulate(documents[length] for length in lengths)
    return next(length for length, end in zip(lengths, ends, strict=True) if end > rank)


def _power_of_two(number: int) -> int:
    """Return the smallest power of two that is number or more."""
    return 1 << max(number - 1, 0).bit_length()
