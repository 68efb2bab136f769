"""Token ids to blocks and rows of fixed length.

What comes in: each document's token ids. What it leaves: blocks (runs of ids cut from the whole corpus, an
end-of-text id after each document) and rows (blocks with attention mask and labels, padded to one length).
Why over the whole corpus: packing batch by batch drops the tail of every batch or leaves rows of unequal length.
No token is lost here: the number of labels that count equals the number of ids plus one end-of-text a document.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Row = dict[str, list[int]]
"""One training example: input_ids, attention_mask and labels, three lists of one length."""

IGNORED_LABEL = -100
"""The label that losses skip (the default ignore_index of PyTorch's cross entropy)."""

_LARGEST, _USUAL_LEAST, _LEAST = 1024, 128, 32
_ENOUGH_BLOCKS, _FEW_BLOCKS = 32, 16


def end_documents(
    ids: "Sequence[int] | NDArray[np.int32]", lengths: Sequence[int], *, eos_token_id: int
) -> "NDArray[np.int32]":
    """Return the ids with an end-of-text id behind each document; `lengths` says how many of the ids each one has."""
    import numpy as np

    return np.insert(np.asarray(ids, dtype=np.int32), list(accumulate(lengths)), eos_token_id)


def cut(runs: "Iterable[NDArray[np.int32]]", *, block_size: int) -> "Iterator[NDArray[np.int32]]":
    """Cut one run of ids that comes in parts into blocks and yield them; one part is in memory.

    Order is kept. Every block holds block_size ids but the last, which holds 1 to block_size. ValueError if block_size
    is below 1.
    """
    import numpy as np

    _check_block_size(block_size)
    rest = np.empty(0, dtype=np.int32)
    for run in runs:
        ids = np.concatenate([rest, run])
        full = len(ids) - len(ids) % block_size
        yield from ids[:full].reshape(-1, block_size)
        rest = ids[full:].copy()
    if len(rest):
        yield rest


def stream_rows(blocks: Iterable[Sequence[int]], *, block_size: int, pad_token_id: int) -> Iterator[Row]:
    """Yield one row a block, each list exactly block_size long.

    Padding is 0 in attention_mask and -100 in labels, and is known by its position: an end-of-text id that the block
    holds keeps its label even if it is the padding id as well. ValueError if a block is empty or too long.
    """
    _check_block_size(block_size)
    for block in blocks:
        yield _row(list(block), block_size=block_size, pad_token_id=pad_token_id)


def choose_block_size(documents: Mapping[int, int], *, max_positions: int) -> int:
    """Choose a block size, a power of two, from how many documents have each length in tokens (end-of-text included).

    The smallest that holds 99 % of the documents whole, at least 128, at most 1,024 and max_positions (the model's
    limit; it wins over every other bound). It is then halved while it gives fewer than 32 blocks, but not below 32
    nor below what holds the median document: few blocks mean few optimizer steps an epoch.
    ValueError if there are no documents or max_positions is below 1.
    """
    number = sum(documents.values())
    if not number or max_positions < 1:
        raise ValueError(f"got {number} lengths and max_positions={max_positions}, both must be 1 or more")
    nearly_longest = _length_at(documents, -(-99 * number // 100) - 1)
    limit = min(_LARGEST, 1 << (max_positions.bit_length() - 1))
    size = min(max(_power_of_two(nearly_longest), _USUAL_LEAST), limit)
    least = max(_power_of_two(_length_at(documents, number // 2)), _LEAST)
    tokens = sum(length * some for length, some in documents.items())
    while size > least and -(-tokens // size) < _ENOUGH_BLOCKS:
        size //= 2
    return size


def block_size_warning(train_blocks: int, *, block_size: int) -> str | None:
    """Return a sentence if there are fewer than 16 blocks to train on, else None."""
    if train_blocks >= _FEW_BLOCKS:
        return None
    blocks, steps = ("row", "step") if train_blocks == 1 else ("rows", "steps")
    return (
        f"the corpus packs into only {train_blocks} {blocks} of {block_size:,} tokens to train on, that is "
        f"{train_blocks} optimizer {steps} an epoch at batch 1; add documents, train for more epochs or set a smaller "
        "--tokens.block-size"
    )


def _row(ids: list[int], *, block_size: int, pad_token_id: int) -> Row:
    if not 1 <= len(ids) <= block_size:
        raise ValueError(f"a block of {len(ids)} ids does not fit a row of {block_size}")
    padding = block_size - len(ids)
    return {
        "input_ids": ids + [pad_token_id] * padding,
        "attention_mask": [1] * len(ids) + [0] * padding,
        "labels": ids + [IGNORED_LABEL] * padding,
    }


def _length_at(documents: Mapping[int, int], rank: int) -> int:
    """Return the length of the document at this rank, from 0, of all documents from the shortest to the longest."""
    lengths = sorted(documents)
    ends = accumulate(documents[length] for length in lengths)
    return next(length for length, end in zip(lengths, ends, strict=True) if end > rank)


def _power_of_two(number: int) -> int:
    """Return the smallest power of two that is number or more."""
    return 1 << max(number - 1, 0).bit_length()


def _check_block_size(block_size: int) -> None:
    if block_size < 1:
        raise ValueError(f"a block of {block_size} tokens holds nothing; block_size must be 1 or more")
