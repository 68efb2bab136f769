"""Scratch files of byte strings, for what does not fit into memory while a corpus is made.

A file is a sequence of blocks (the number of strings, their lengths, their bytes). Only the process that wrote it reads
it.
"""

from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, islice, pairwise
from pathlib import Path
from typing import BinaryIO

_COUNT_BYTES = 8
_RECORDS_AT_ONCE = 1000


def append_block(file: BinaryIO, records: Sequence[bytes]) -> None:
    """Write one block."""
    lengths = array("Q", map(len, records))
    file.write(len(records).to_bytes(_COUNT_BYTES, "little"))
    file.write(lengths.tobytes())
    file.writelines(records)


def read_record_blocks(path: Path) -> Iterator[list[bytes]]:
    """Yield the blocks of a file in order; one block at a time is in memory."""
    with path.open("rb") as file:
        while head := file.read(_COUNT_BYTES):
            lengths = array("Q")
            lengths.frombytes(file.read(int.from_bytes(head, "little") * lengths.itemsize))
            data = file.read(sum(lengths))
            yield [data[begin:end] for begin, end in pairwise(accumulate(lengths, initial=0))]


def write_records(path: Path, records: Iterable[bytes]) -> None:
    """Write a new file; a thousand records at a time are in memory."""
    remaining = iter(records)
    with path.open("wb") as file:
        while block := list(islice(remaining, _RECORDS_AT_ONCE)):
            append_block(file, block)


def read_records(path: Path) -> Iterator[bytes]:
    """Yield the records of a file in order."""
    return (record for block in read_record_blocks(path) for record in block)
