"""Token blocks from disk to memory as arrays: 4 bytes a token, whatever the corpus weighs as JSON or as Python lists.

What comes in: a file of write_blocks. What it leaves: its header and blocks, one after another, or all of them in two
arrays. The file is read a line at a time, as a block is a line of it; JSON that is laid out in another way is read
whole instead, and damage is named as read_blocks names it.
"""

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.dataset.text_files import open_bytes
from tasks.dataset.token_files import Header, check_header, read_blocks
from tasks.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_BLOCKS, _END = b'  "blocks": [\n', b"  ]\n}\n"
_LINE = re.compile(rb"  \[(?:0|[1-9][0-9]{0,17})(?:, (?:0|[1-9][0-9]{0,17}))*\],?\n")
_LONGEST_HEADER = 2**20
_LARGEST_ID = 2**31 - 1


@dataclass(frozen=True, slots=True, eq=False)
class BlockArray:
    """Blocks of one split, in order."""

    ids: "NDArray[np.int32]"
    """[N, block_size], padded on the right."""
    lengths: "NDArray[np.int32]"
    """[N], ids of each block that are no padding."""


def read_block_array(path: Path, *, blocks: int, block_size: int) -> BlockArray:
    """Return the blocks of a file whose header has a `pad_token_id`.

    InputError if the file is missing or damaged, or does not hold `blocks` blocks of at most `block_size` ids.
    """
    import numpy as np

    header, found = stream_blocks(path)
    pad = header.get("pad_token_id")
    if not isinstance(pad, int) or not 0 <= pad <= _LARGEST_ID:
        raise InputError(f'{path}: "pad_token_id" is missing or no token id; the file is damaged, make it again')
    ids = np.full((blocks, block_size), pad, dtype=np.int32)
    lengths = np.zeros(blocks, dtype=np.int32)
    number = 0
    for number, block in enumerate(found, start=1):
        if number > blocks:
            continue  # counts the rest
        _check_fits(block, block_size, where=f"{path}: block {number:,}")
        ids[number - 1, : len(block)] = block
        lengths[number - 1] = len(block)
    if number != blocks:
        raise InputError(f"{path}: holds {number:,} blocks where {blocks:,} are wanted; make the file again")
    return BlockArray(ids, lengths)


def stream_blocks(path: Path) -> tuple[Header, Iterator[list[int]]]:
    """Return the header, and the blocks in order as they are read.

    InputError as read_blocks raises it: at the call where the header is damaged, else once the damage is reached.
    """
    start = _read_header(path)
    if start is None:
        whole = read_blocks(path)
        return whole.header, iter(whole.blocks)
    header, offset = start
    return header, _stream(path, offset)


def _read_header(path: Path) -> tuple[Header, int] | None:
    """Return the header and where the first block begins, or None where the file is not laid out by write_blocks."""
    with open_bytes(path) as stream:
        text = stream.readline(_LONGEST_HEADER)
        while len(text) < _LONGEST_HEADER and (line := stream.readline(_LONGEST_HEADER)) and line != _BLOCKS:
            text += line
        if line != _BLOCKS or not text.startswith(b"{\n"):
            return None
        offset = stream.tell()
        stream.seek(-len(_END), os.SEEK_END)
        if stream.read() != _END:
            return None  # the header may go on behind the blocks
    try:
        content = json.loads(text.decode("utf-8") + '"blocks": []}')
    except ValueError:
        return None
    del content["blocks"]
    return check_header(path, content), offset


def _stream(path: Path, offset: int) -> Iterator[list[int]]:
    done = 0
    with open_bytes(path) as stream:
        stream.seek(offset)
        for line in stream:
            block = _block_of(line)
            if block is None:
                break
            yield block
            done += 1
            if not line.endswith(b",\n"):
                if stream.read() == _END:
                    return
                break
    yield from islice(read_blocks(path).blocks, done, None)


def _block_of(line: bytes) -> list[int] | None:
    """Return the ids of a line as write_blocks writes it, else None."""
    if _LINE.fullmatch(line) is None:
        return None
    block: list[int] = json.loads(line.removesuffix(b"\n").removesuffix(b","))
    return block


def _check_fits(block: list[int], block_size: int, *, where: str) -> None:
    if len(block) > block_size:
        raise InputError(f"{where} has {len(block):,} ids where {block_size:,} are the most; make the file again")
    if max(block) > _LARGEST_ID:
        raise InputError(f"{where} holds {max(block):,}, which no vocabulary has; make the file again")
