"""Bring the files of a release to the disk.

What comes in: an open store, a validated manifest and the folder that shall hold its files. What it leaves: that
folder, whole, verified and flushed to disk, or nothing. The files are written into a hidden folder `.part-...` beside
it, each hashed while it is written, and one rename makes them visible.
"""

import contextlib
import errno
import hashlib
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

from botocore.exceptions import ClientError, IncompleteReadError, ReadTimeoutError, ResponseStreamingError

from tasks.disk import NO_SPACE
from tasks.errors import InputError
from tasks.storage.failures import is_missing
from tasks.storage.manifest import FileEntry, Manifest
from tasks.storage.store import Store

_BLOCK = 2**20
_ATTEMPTS = 5
_STALE_S = 24 * 3600
_BROKEN_STREAM = (IncompleteReadError, ReadTimeoutError, ResponseStreamingError)


def download(store: Store, manifest: Manifest, target: Path, on_progress: Callable[[int, int], None] | None) -> None:
    """Make `target` the files of `manifest`, in place of what was there; on any error it stays as it was.

    Raises:
        InputError: an object is missing or has other bytes than stated, or the disk is too small.
        UnavailableError: the store does not answer.
    """
    base = store.key(manifest.name, "versions", manifest.version)
    done = 0

    def count(more: int) -> None:
        nonlocal done
        done += more
        if on_progress is not None:
            on_progress(done, manifest.size)

    with _disk_full_explained(target, manifest), _part_folder(target, manifest) as part:
        for path, stated in manifest.files.items():
            file = part / path
            file.parent.mkdir(parents=True, exist_ok=True)
            with store.explained():
                fetch_file(store, f"{base}/{path}", stated, file, count)
        for folder in (part, *(entry for entry in part.rglob("*") if entry.is_dir())):
            _flush_folder(folder)
        _put_in_place(part, target)


@contextlib.contextmanager
def _part_folder(target: Path, manifest: Manifest) -> Iterator[Path]:
    """A new folder beside `target`, gone after the block unless renamed; day-old ones of killed fetches go too."""
    target.parent.mkdir(parents=True, exist_ok=True)
    for stale in target.parent.glob(f".part-{target.name}-*"):
        if time.time() - stale.stat().st_mtime > _STALE_S:
            shutil.rmtree(stale, ignore_errors=True)
    if shutil.disk_usage(target.parent).free < manifest.size:
        raise OSError(errno.ENOSPC, "too small from the start")
    part = target.parent / f".part-{target.name}-{uuid.uuid4().hex}"
    part.mkdir()
    try:
        yield part
    finally:
        shutil.rmtree(part, ignore_errors=True)


@contextlib.contextmanager
def _disk_full_explained(target: Path, manifest: Manifest) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in NO_SPACE:
            raise
        free = shutil.disk_usage(target.parent).free
        raise InputError(
            f"the disk of {target} is too small for {manifest.name}: the release has {manifest.size:,} bytes and "
            f"{free:,} are free now ({error.strerror}); make room or name a folder on another disk"
        ) from error


def fetch_file(store: Store, key: str, stated: FileEntry, file: Path, count: Callable[[int], None]) -> None:
    """Write one object to disk, hashing what is written; a stream that breaks is taken up where it broke."""
    digest, size = hashlib.sha256(), 0
    with file.open("xb") as out:
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                for block in _blocks(store, key, size):
                    out.write(block)
                    digest.update(block)
                    size += len(block)
                    count(len(block))
                break
            except _BROKEN_STREAM:
                if attempt == _ATTEMPTS:
                    raise
        out.flush()
        os.fsync(out.fileno())
    if size != stated.size or digest.hexdigest() != stated.sha256:
        found = f"{size:,} bytes, sha256 {digest.hexdigest()}"
        wanted = f"{stated.size:,} bytes, sha256 {stated.sha256}"
        raise InputError(f"{key} is damaged: it has {found}, its manifest states {wanted}; publish the release again")


def _blocks(store: Store, key: str, start: int) -> Iterator[bytes]:
    try:
        body = store.open(key, start)
    except ClientError as error:
        if is_missing(error):
            raise InputError(f"{key} is missing, although its manifest is there: publish the release again") from error
        raise
    with contextlib.closing(body):
        yield from body.iter_chunks(_BLOCK)


def _put_in_place(part: Path, target: Path) -> None:
    """Rename; what was there before is moved away first and deleted after, so that `target` is never half of each."""
    old = part.with_name(f"{part.name}-old")
    if target.exists():
        target.rename(old)
    part.rename(target)
    _flush_folder(target.parent)
    shutil.rmtree(old, ignore_errors=True)


def _flush_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
