"""Removes duplicates from any number of documents and returns the rest in the order of their digests.

Documents are kept in 256 shards by the first byte of the digest; past a given amount of memory the shards are written
to files, and each is sorted by itself afterwards. As the order is that of the digests, it depends neither on the order
of the input nor on the amount of memory.
"""

from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path

from tasks.dataset.record_files import append_block, read_record_blocks, read_records, write_records

MEMORY = 192 * 2**20
"""Bytes of documents in memory, with the overhead of Python, before the shards are written to files.

A corpus of up to 256 times this size is deduplicated in about three times this memory."""

_OVERHEAD = 200
"""Bytes that a document takes in memory besides its own: two byte strings and an entry in a dictionary."""

_SHARDS = 256


class Deduplicator:
    """Distinct documents: `add` all of them, `finish` once, then iterate any number of times.

    Of documents with equal digests the smallest is kept (they differ only where the digest is that of another form).
    """

    def __init__(self, folder: Path, memory: int = MEMORY) -> None:
        """Write what does not fit into `memory` bytes to `folder`, which exists and which the caller removes."""
        self._folder = folder
        self._memory = memory
        self._held = 0
        self._spilled = False
        self._shards: list[dict[bytes, bytes]] = [{} for _ in range(_SHARDS)]
        self._sorted: list[bytes] = []
        self.distinct = 0
        """Distinct documents that were added; known once finished."""
        self.kept = 0
        """Documents that iterating yields; known once finished."""

    def add(self, digest: bytes, document: bytes) -> None:
        """Add a document with its digest of at least one byte."""
        shard = self._shards[digest[0]]
        found = shard.get(digest)
        if found is None:
            shard[digest] = document
            self._held += len(document) + _OVERHEAD
            if self._held > self._memory:
                self._spill()
        elif document < found:
            shard[digest] = document

    def finish(self, keep: Callable[[bytes], bool] | None = None) -> None:
        """Sort and filter the documents; `keep` is called once per distinct document, in the order of the digests."""
        if self._spilled:
            self._spill()
        for number in range(_SHARDS):
            shard = self._load(number)
            self.distinct += len(shard)
            ordered = map(shard.__getitem__, sorted(shard))
            self._store(number, list(ordered if keep is None else filter(keep, ordered)))
            shard.clear()

    def __iter__(self) -> Iterator[bytes]:
        """Yield the documents by ascending digest."""
        if not self._spilled:
            return iter(self._sorted)
        return chain.from_iterable(map(read_records, filter(Path.exists, map(self._path, range(_SHARDS)))))

    def _spill(self) -> None:
        self._spilled = True
        for number, shard in enumerate(self._shards):
            if shard:
                with self._path(number).open("ab") as file:
                    append_block(file, list(shard))
                    append_block(file, list(shard.values()))
                shard.clear()
        self._held = 0

    def _load(self, number: int) -> dict[bytes, bytes]:
        """Return all documents of a shard, from memory and from its file."""
        shard = self._shards[number]
        if self._spilled and self._path(number).exists():
            blocks = read_record_blocks(self._path(number))
            for digests, documents in zip(blocks, blocks, strict=True):
                block = dict(zip(digests, documents, strict=True))
                for digest in shard.keys() & block.keys():
                    block[digest] = min(block[digest], shard[digest])
                shard |= block
        return shard

    def _store(self, number: int, documents: list[bytes]) -> None:
        """Save the documents of a shard for `__iter__`."""
        self.kept += len(documents)
        if not self._spilled:
            self._sorted += documents
        elif documents or self._path(number).exists():
            write_records(self._path(number), documents)

    def _path(self, number: int) -> Path:
        return self._folder / f"shard-{number:02x}"
