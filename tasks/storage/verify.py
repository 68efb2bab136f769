"""Verifies a version in the store: every byte is read and hashed, nothing is written."""

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from botocore.exceptions import ClientError

from tasks.errors import InputError
from tasks.storage.counting import Progress, counter
from tasks.storage.failures import is_missing
from tasks.storage.manifest import FileEntry, Manifest
from tasks.storage.store import Store

_THREADS = 4
_SHOWN = 10


def verify(store: Store, manifest: Manifest, on_progress: Progress | None = None) -> None:
    """Read and hash every file of a version in the store.

    Raises:
        InputError: a file is missing or has other bytes than stated; all of them are named.
        UnavailableError: the store does not answer.
    """
    count = counter(manifest.size, on_progress)

    def check(path: str) -> str | None:
        return _fault(store, _key(store, manifest, path), manifest.files[path], count)

    _check_each(store, manifest, check)


def check_present(store: Store, manifest: Manifest) -> None:
    """Check that each file exists with the stated size; its bytes are not read.

    Raises:
        InputError: one is missing or has another size; all of them are named.
    """

    def check(path: str) -> str | None:
        try:
            head = store.client.head_object(Bucket=store.bucket, Key=_key(store, manifest, path))
        except ClientError as error:
            if is_missing(error):
                return "is missing"
            raise
        size, stated = head["ContentLength"], manifest.files[path].size
        return None if size == stated else f"has {size:,} bytes instead of {stated:,}"

    _check_each(store, manifest, check)


def _check_each(store: Store, manifest: Manifest, check: Callable[[str], str | None]) -> None:
    """Call `check`, which describes what is wrong with a file, for every path; InputError with all faults."""
    with store.explain_errors(), ThreadPoolExecutor(_THREADS) as pool:
        found = list(pool.map(check, manifest.files))
    faults = [f"{path} {fault}" for path, fault in zip(manifest.files, found, strict=True) if fault]
    if faults:
        more = f"; and {len(faults) - _SHOWN:,} more" if len(faults) > _SHOWN else ""
        shown = "; ".join(faults[:_SHOWN])
        raise InputError(f"{manifest.name}@{manifest.version[:12]} is damaged: {shown}{more}. Publish it again.")


def _key(store: Store, manifest: Manifest, path: str) -> str:
    return store.key(manifest.name, "versions", manifest.version, path)


def _fault(store: Store, key: str, stated: FileEntry, count: Callable[[int], None]) -> str | None:
    """What is wrong with one object; at most the stated bytes are read."""
    digest, size = hashlib.sha256(), 0
    try:
        for block in store.blocks(key):
            size += len(block)
            if size > stated.size:
                return f"has more than the stated {stated.size:,} bytes"
            digest.update(block)
            count(len(block))
    except ClientError as error:
        if is_missing(error):
            return "is missing"
        raise
    if size != stated.size:
        return f"has {size:,} bytes instead of {stated.size:,}"
    return None if digest.hexdigest() == stated.sha256 else f"has the sha256 {digest.hexdigest()}"
