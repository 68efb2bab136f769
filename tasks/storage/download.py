"""Downloads the files of a release to a folder: whole, verified and flushed to disk, or not at all.

The files are written into a hidden folder `.part-...` beside the target, and one rename makes them visible.
"""

import contextlib
import errno
import shutil
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

from tasks.disk import NO_SPACE
from tasks.errors import InputError
from tasks.stage.folders import flush
from tasks.storage.counting import Progress, counter
from tasks.storage.manifest import Manifest
from tasks.storage.receiving import fetch_file, is_multipart
from tasks.storage.store import Store
from tasks.storage.transfer_pool import TransferPool

_STALE_S = 24 * 3600


def download(store: Store, manifest: Manifest, target: Path, on_progress: Progress | None) -> None:
    """Make `target` a folder with exactly the files of `manifest`; on any error it stays as it was.

    Raises:
        InputError: an object is missing or has other bytes than stated, or the disk is too small.
        UnavailableError: the store does not answer.
    """
    with _explain_full_disk(target, manifest), _part_folder(target, manifest) as part:
        with store.explain_errors():
            _fetch_files(store, manifest, part, on_progress)
        flush(part, *(entry for entry in part.rglob("*") if entry.is_dir()))
        _put_in_place(part, target)


def _fetch_files(store: Store, manifest: Manifest, part: Path, on_progress: Progress | None) -> None:
    """Small files in parallel, then large ones one by one, each by several threads: this bounds the memory."""
    base, count = store.key(manifest.name, "versions", manifest.version), counter(manifest.size, on_progress)

    def fetch(path: str) -> None:
        fetch_file(store, f"{base}/{path}", manifest.files[path], part / path, count, pool=pool)

    for path in manifest.files:
        (part / path).parent.mkdir(parents=True, exist_ok=True)
    large = [path for path, stated in manifest.files.items() if is_multipart(stated)]
    with TransferPool() as pool:
        list(pool.map(fetch, [path for path in manifest.files if path not in large]))
        for path in large:
            fetch(path)


@contextlib.contextmanager
def _part_folder(target: Path, manifest: Manifest) -> Iterator[Path]:
    """A new folder beside `target`, removed after the block unless renamed; leftovers are removed after a day."""
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
def _explain_full_disk(target: Path, manifest: Manifest) -> Iterator[None]:
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


def _put_in_place(part: Path, target: Path) -> None:
    """Rename; the old folder is moved away first and deleted last, so that `target` is never a mixture."""
    old = part.with_name(f"{part.name}-old")
    if target.exists():
        target.rename(old)
    part.rename(target)
    flush(target.parent)
    shutil.rmtree(old, ignore_errors=True)
