"""Documents in the order of their code points, however many.

What comes in: documents as UTF-8, whose bytes sort as their code points do. What it leaves: the same ones, sorted.
Past a stated amount of memory, sorted runs go to files and are merged.
"""

from collections.abc import Iterable, Iterator
from heapq import merge
from pathlib import Path

from tasks.dataset.deduplication import MEMORY
from tasks.dataset.record_files import read_records, write_records

_OVERHEAD = 60
"""Bytes that a document costs in memory besides its own."""

_FILES_AT_ONCE = 64


def sort_documents(documents: Iterable[bytes], folder: Path, memory: int = MEMORY) -> Iterator[bytes]:
    """Yield the documents sorted; `folder` exists, is the caller's to remove, and takes what exceeds `memory` bytes."""
    runs: list[Path] = []
    chunk: list[bytes] = []
    held = 0
    for document in documents:
        chunk.append(document)
        held += len(document) + _OVERHEAD
        if held > memory:
            runs.append(folder / f"run-{len(runs)}")
            write_records(runs[-1], sorted(chunk))
            chunk, held = [], 0
    chunk.sort()
    yield from merge(chunk, *map(read_records, _fewer(runs)))


def _fewer(runs: list[Path]) -> list[Path]:
    """Merge runs into longer ones until so few are left that all can be open at once."""
    while len(runs) > _FILES_AT_ONCE:
        first = runs[:_FILES_AT_ONCE]
        merged = first[0].with_name(f"{first[0].name}-merged")
        write_records(merged, merge(*map(read_records, first)))
        for run in first:
            run.unlink()
        runs = [*runs[_FILES_AT_ONCE:], merged]
    return runs
