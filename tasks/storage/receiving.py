"""Downloads one object to a file and verifies it; a large object in parts by several threads.

The parts are hashed in order as they arrive, so nothing is read twice, and flushed to disk meanwhile.
"""

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

from botocore.exceptions import ClientError

from tasks.errors import InputError
from tasks.storage.failures import http_status, is_missing
from tasks.storage.manifest import FileEntry
from tasks.storage.store import Store
from tasks.storage.transfer_pool import TransferPool

PART = 8 * 2**20
_AHEAD = 6
"""Parts in memory at a time: one per thread, and two that are hashed or wait for it."""
_OUT_OF_RANGE = 416


def is_multipart(stated: FileEntry) -> bool:
    """Whether a file is so large that it is downloaded in parts."""
    return stated.size > 2 * PART


def fetch_file(  # noqa: PLR0913 what, where to, how
    store: Store,
    key: str,
    stated: FileEntry,
    file: Path,
    count: Callable[[int], None],
    *,
    pool: TransferPool | None = None,
) -> None:
    """Download one object to the new file `file`: never more than the stated bytes; a broken stream is resumed.

    `count` is called with the number of bytes that arrived, by several threads.

    Raises:
        InputError: the object is missing or has other bytes than stated.
        OSError: the disk is full.
    """
    digest = hashlib.sha256()
    with file.open("xb", buffering=0) as out, contextlib.nullcontext(pool) if pool else TransferPool() as threads:
        download = _Download(store, key, stated, out, count, threads)
        for block in download.in_parts() if is_multipart(stated) else download.as_whole():
            digest.update(block)
        os.fsync(out.fileno())
    if digest.hexdigest() != stated.sha256:
        raise _damaged(key, stated, f"{stated.size:,} bytes, sha256 {digest.hexdigest()}")


@dataclass(frozen=True)
class _Download:
    """One object that is written to a file; its methods yield every stated byte after writing it, or fail."""

    store: Store
    key: str
    stated: FileEntry
    out: FileIO
    count: Callable[[int], None]
    pool: TransferPool

    def as_whole(self) -> Iterator[bytes]:
        """All blocks in order, from one stream."""
        return self._write(self.store.blocks(self.key), 0, self.stated.size)

    def in_parts(self) -> Iterator[bytes]:
        """All blocks in order, from parallel streams, flushed to disk as they arrive."""
        starts = range(0, self.stated.size, PART)
        with ThreadPoolExecutor(1) as flusher:
            flushed = flusher.submit(os.fsync, self.out.fileno())
            for blocks in self.pool.map(self._write_part, starts, ahead=_AHEAD):
                yield from blocks
                if flushed.done():
                    flushed.result()
                    flushed = flusher.submit(os.fsync, self.out.fileno())

    def _write_part(self, start: int) -> list[bytes]:
        stop = min(start + PART, self.stated.size)
        blocks = self.store.blocks(self.key, start, stop, check_size=self._check_size)
        return list(self._write(blocks, start, stop))

    def _check_size(self, size: int | None) -> None:
        if size is None:
            raise InputError(
                f"the store, or a proxy in front of it, returns {self.key} only as a whole (no Content-Range): "
                "set AWS_ENDPOINT_URL_S3 to the store itself"
            )
        if size != self.stated.size:
            raise _damaged(self.key, self.stated, f"{size:,} bytes")

    def _write(self, blocks: Iterator[bytes], offset: int, stop: int) -> Iterator[bytes]:
        """Write the blocks from `offset` to `stop`, and yield them."""
        with self._explain_errors():
            for block in blocks:
                self.pool.raise_if_stopped()
                if offset + len(block) > stop:
                    raise _damaged(self.key, self.stated, f"more than {self.stated.size:,} bytes")
                written = 0
                while written < len(block):
                    written += os.pwrite(self.out.fileno(), memoryview(block)[written:], offset + written)
                offset += len(block)
                self.count(len(block))
                yield block
        if offset != stop:
            raise _damaged(self.key, self.stated, f"{offset:,} bytes")

    @contextlib.contextmanager
    def _explain_errors(self) -> Iterator[None]:
        try:
            yield
        except ClientError as error:
            if is_missing(error):
                raise InputError(
                    f"{self.key} is missing, although its manifest is there: publish the release again"
                ) from error
            if http_status(error) == _OUT_OF_RANGE:
                raise _damaged(self.key, self.stated, "fewer bytes") from error
            raise


def _damaged(key: str, stated: FileEntry, found: str) -> InputError:
    wanted = f"{stated.size:,} bytes, sha256 {stated.sha256}"
    return InputError(f"{key} is damaged: it has {found}, its manifest states {wanted}; publish the release again")
