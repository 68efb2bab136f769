"""Token blocks on disk as JSON that people can read: a header line, then one block per line.

A file is written and read one line at a time, so memory does not grow with the corpus.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

import orjson

from tasks.errors import InputError
from tasks.stage.folders import open_bytes, open_whole, write_whole

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_END = b"]}\n"
_LONGEST_HEADER = 2**20
_LARGEST_ID = 2**31 - 1
_DAMAGED = "the file is damaged, make it again"
_PREVIEW_WIDTH = 100


@dataclass(frozen=True, slots=True)
class Header:
    """What the blocks of a file are."""

    block_size: int
    eos_token_id: int
    pad_token_id: int
    tokens: int
    """Tokens of all blocks together, end-of-text tokens included."""


@dataclass(frozen=True, slots=True, eq=False)
class BlockArray:
    """Blocks of one split, in order."""

    ids: "NDArray[np.int32]"
    """[N, block_size], padded on the right."""
    lengths: "NDArray[np.int32]"
    """[N], the number of ids of each block before the padding."""


class PreviewEntry(TypedDict):
    """One document: its text, its tokens and the id of each token."""

    text: str
    tokens: Sequence[str]
    ids: Sequence[int]


def write_blocks(path: Path, blocks: "Iterable[Sequence[int] | NDArray[np.int32]]", header: Header) -> int:
    """Write one JSON object, the fields of the header and then "blocks" with one block per line; return their number.

    InputError if the folder is missing or cannot be written to.
    """
    written = 0
    with open_whole(path) as file:
        file.write(orjson.dumps({**asdict(header), "blocks": []}).removesuffix(b"]}"))
        for written, block in enumerate(blocks, start=1):
            file.write(b",\n" if written > 1 else b"\n")
            file.write(orjson.dumps(block, option=orjson.OPT_SERIALIZE_NUMPY))
        file.write(b"\n" + _END)
    return written


def stream_blocks(path: Path) -> tuple[Header, Iterator[list[int]]]:
    """Return the header of a file of `write_blocks`, and an iterator that reads its blocks in order.

    InputError where the file is missing or damaged: at the call for the header, else when the iterator reaches it.
    """
    with open_bytes(path) as file:
        first = file.readline(_LONGEST_HEADER)
    try:
        content = orjson.loads(first + _END)
        integers = content.pop("blocks") == [] and set(map(type, content.values())) == {int}
        if integers and min(content.values()) >= 0 and content["pad_token_id"] <= _LARGEST_ID:
            return Header(**content), _stream_lines(path)
    except (ValueError, TypeError, AttributeError, KeyError):  # not JSON, not an object, other fields
        pass
    raise InputError(f"{path}: the first line is not the header of a file of blocks; {_DAMAGED}")


def read_block_array(path: Path, *, blocks: int, block_size: int) -> BlockArray:
    """Return the blocks of a file as arrays, 4 bytes per token.

    InputError if the file is missing or damaged, or does not hold `blocks` blocks of at most `block_size` ids.
    """
    import numpy as np

    header, found = stream_blocks(path)
    ids = np.full((blocks, block_size), header.pad_token_id, dtype=np.int32)
    lengths = np.zeros(blocks, dtype=np.int32)
    number = 0
    for number, block in enumerate(found, start=1):
        length = len(block)
        if length > block_size:
            raise InputError(
                f"{path}: block {number:,} has {length:,} ids where {block_size:,} are the most; make the file again"
            )
        if number <= blocks:  # the rest is counted for the message below
            ids[number - 1, :length] = block
            lengths[number - 1] = length
    if number != blocks:
        raise InputError(f"{path}: holds {number:,} blocks where {blocks:,} are wanted; make the file again")
    return BlockArray(ids, lengths)


def write_preview(path: Path, entries: Iterable[PreviewEntry]) -> None:
    """Write a JSON list for people: the text of each document, then its tokens as ["token", id] pairs.

    ValueError if an entry has not as many ids as tokens; InputError if the folder is missing or cannot be written to.
    """
    write_whole(path, "[\n" + ",\n".join(map(_preview_object, entries)) + "\n]\n")


def _stream_lines(path: Path) -> Iterator[list[int]]:
    comma = False  # after the last block
    with open_bytes(path) as file:
        file.readline()
        for number, line in enumerate(file, start=1):
            if not comma and line == _END and not file.read(1):
                return
            if number > 1 and not comma:
                break
            comma = line.endswith(b",\n")
            yield _parse_block(line[:-2] if comma else line, where=f"{path}: block {number:,}")
    raise InputError(f"{path}: the list of blocks has no end; {_DAMAGED}")


def _parse_block(line: bytes, *, where: str) -> list[int]:
    try:
        block: list[int] = orjson.loads(line)
    except ValueError:
        block = []
    only_digits = line.translate(None, b"0123456789,\n") == b"[]"  # no list in it, nothing negative, no fraction
    if only_digits and block and max(block) <= _LARGEST_ID:
        return block
    raise InputError(f"{where} is not a list of token ids (integers of 0 or more); {_DAMAGED}")


def _preview_object(entry: PreviewEntry) -> str:
    pairs = [_json(pair) for pair in zip(entry["tokens"], entry["ids"], strict=True)]
    tokens = ",\n      ".join(_filled(pairs))
    return f'  {{\n    "text": {_json(entry["text"])},\n    "tokens": [\n      {tokens}\n    ]\n  }}'


def _filled(pairs: Sequence[str]) -> Iterator[str]:
    """Join the pairs to lines of at most about 100 characters."""
    line = ""
    for pair in pairs:
        if line and len(line) + len(pair) > _PREVIEW_WIDTH:
            yield line
            line = ""
        line = f"{line}, {pair}" if line else pair
    yield line


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
