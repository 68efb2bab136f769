"""Sorts any number of documents by code point, which is the order of their UTF-8 bytes.

Past a given amount of memory, sorted runs are written to files and merged.
"""

from collections.abc import Iterable, Iterator
from heapq import merge
from pathlib import Path

from tasks.dataset.deduplication import MEMORY
from tasks.dataset.record_files import read_records, write_records

_OVERHEAD = 60
"""Bytes that a document takes in memory besides its own."""

_FILES_AT_ONCE = 64


def sort_documents(documents: Iterable[bytes], folder: Path, memory: int = MEMORY) -> Iterator[bytes]:
    """Yield the documents sorted; what exceeds `memory` bytes goes to `folder`, which exists and the caller removes."""
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
    yield from merge(chunk, *map(read_records, _merge_runs(runs)))


def _merge_runs(runs: list[Path]) -> list[Path]:
    """Merge runs into longer ones until all that are left can be open at once."""
    while len(runs) > _FILES_AT_ONCE:
        first = runs[:_FILES_AT_ONCE]
        merged = first[0].with_name(f"{first[0].name}-merged")
        write_records(merged, merge(*map(read_records, first)))
        for run in first:
            run.unlink()
        runs = [*runs[_FILES_AT_ONCE:], merged]
    return runs
