"""Bring one object to the disk, and trust no byte of it unseen.

What comes in: an open store, a key, and the size and sha256 that a manifest states. What it leaves: a file with exactly
these bytes, flushed to disk, or an error. A large object comes in parts by several threads. They are hashed in their
order as they come, so nothing is read a second time, and flushed as they come, so the disk does not wait for the end.
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
from tasks.storage.store import BROKEN_STREAM, Store
from tasks.storage.transfer_pool import Crew

PART = 8 * 2**20
_AHEAD = 6
"""Parts in memory at a time: those that the threads fetch, and two that are hashed or wait for that."""
_BLOCK = 2**20
_ATTEMPTS = 5
_OUT_OF_RANGE = 416


def comes_in_parts(stated: FileEntry) -> bool:
    """Whether a file is so large."""
    return stated.size > 2 * PART


def fetch_file(  # noqa: PLR0913 what, where to, how
    store: Store, key: str, stated: FileEntry, file: Path, count: Callable[[int], None], *, crew: Crew | None = None
) -> None:
    """Write one object to the new file `file`: never more than the stated bytes, and a broken stream is taken up.

    `count` is told how many more bytes came, by several threads.

    Raises:
        InputError: the object is missing or has other bytes than stated.
        OSError: the disk is full.
    """
    digest = hashlib.sha256()
    with file.open("xb", buffering=0) as out, contextlib.nullcontext(crew) if crew else Crew() as threads:
        arriving = _Arriving(store, key, stated, out, count, threads)
        for block in arriving.in_parts() if comes_in_parts(stated) else arriving.at_once():
            digest.update(block)
        os.fsync(out.fileno())
    if digest.hexdigest() != stated.sha256:
        raise _damaged(key, stated, f"{stated.size:,} bytes, sha256 {digest.hexdigest()}")


@dataclass(frozen=True)
class _Arriving:
    """An object on its way into a file: what gives blocks has written them, and gives all that is stated or fails."""

    store: Store
    key: str
    stated: FileEntry
    out: FileIO
    count: Callable[[int], None]
    crew: Crew

    def at_once(self) -> Iterator[bytes]:
        """All blocks in their order."""
        return self._span(0, self.stated.size, self._rest)

    def in_parts(self) -> Iterator[bytes]:
        """All blocks in their order, though they come in parts at the same time; the disk is busy meanwhile."""
        starts = range(0, self.stated.size, PART)
        with ThreadPoolExecutor(1) as flusher:
            flushed = flusher.submit(os.fsync, self.out.fileno())
            for blocks in self.crew.parts_in_order(self._part, starts, ahead=_AHEAD):
                yield from blocks
                if flushed.done():
                    flushed.result()
                    flushed = flusher.submit(os.fsync, self.out.fileno())

    def _part(self, start: int) -> list[bytes]:
        return list(self._span(start, min(start + PART, self.stated.size), self._asked_for))

    def _span(self, at: int, stop: int, blocks: "Callable[[int, int], Iterator[bytes]]") -> Iterator[bytes]:
        """The blocks from `at` to `stop`; a stream that breaks is taken up where it broke."""
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                for block in blocks(at, stop):
                    self.crew.go_on()
                    if at + len(block) > stop:
                        raise _damaged(self.key, self.stated, f"more than {self.stated.size:,} bytes")
                    self._write(block, at)
                    at += len(block)
                    yield block
                break
            except BROKEN_STREAM:
                if attempt == _ATTEMPTS:
                    raise
        if at != stop:
            raise _damaged(self.key, self.stated, f"{at:,} bytes")

    def _write(self, block: bytes, at: int) -> None:
        written = 0
        while written < len(block):
            written += os.pwrite(self.out.fileno(), memoryview(block)[written:], at + written)
        self.count(len(block))

    def _rest(self, at: int, _: int) -> Iterator[bytes]:
        with self._answered(), contextlib.closing(self.store.open(self.key, at)) as body:
            yield from body.iter_chunks(_BLOCK)

    def _asked_for(self, at: int, stop: int) -> Iterator[bytes]:
        with self._answered():
            body, size = self.store.open_span(self.key, at, stop)
            with contextlib.closing(body):
                if size is None:
                    raise InputError(
                        f"the store, or what stands before it, gives {self.key} only as a whole (no Content-Range): "
                        "name the store itself in AWS_ENDPOINT_URL_S3"
                    )
                if size != self.stated.size:
                    raise _damaged(self.key, self.stated, f"{size:,} bytes")
                yield from body.iter_chunks(_BLOCK)

    @contextlib.contextmanager
    def _answered(self) -> Iterator[None]:
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
