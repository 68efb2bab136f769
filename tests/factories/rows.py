"""Blocks and rows as plain lists that a test can compare, and rows as the blocks that training takes."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from tasks.dataset import Row, stream_blocks, stream_rows
from tasks.dataset.packing import cut, end_documents
from tasks.stage.references import TokenBlocks

if TYPE_CHECKING:
    from tasks.modeling.blocks import Blocks


def pack(documents: Iterable[Sequence[int]], *, eos_token_id: int, block_size: int) -> list[list[int]]:
    """The blocks of documents, each of which is followed by the end-of-text id."""
    runs = (end_documents(document, [len(document)], eos_token_id=eos_token_id) for document in documents)
    return [block.tolist() for block in cut(runs, block_size=block_size)]


def rows(blocks: Iterable[Sequence[int]], *, block_size: int, pad_token_id: int) -> list[Row]:
    """The row of each block."""
    return list(stream_rows(blocks, block_size=block_size, pad_token_id=pad_token_id))


def load_rows(tokens: TokenBlocks, split: str) -> list[Row]:
    """The rows of `train` or `eval`."""
    header, blocks = stream_blocks(tokens.folder / f"{split}.json")
    return rows(blocks, block_size=tokens.block_size, pad_token_id=header.pad_token_id)


def blocks_of(some_rows: Sequence[Row]) -> "Blocks":
    """The blocks of rows that are padded on the right, as training takes them."""
    from tasks.modeling.blocks import Blocks

    ids = np.array([row["input_ids"] for row in some_rows], dtype=np.int32)
    return Blocks(ids, np.array([sum(row["attention_mask"]) for row in some_rows], dtype=np.int32))
