"""Publish a folder as a release.

What comes in: an open store, a folder and a name. What it leaves, in this order:

    <prefix>/<name>/versions/<version>/<files>          immutable, under the sha256 of the manifest
    <prefix>/<name>/versions/<version>/manifest.json    last of the version: its presence means complete
    <prefix>/<name>/aliases/<alias>.json                the only object that changes

A crash at any point leaves each alias on the complete version that it named before, and publishing again sends only
what is not there yet: equal content has equal keys.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.errors import UnavailableError
from tasks.storage.aliases import move_alias
from tasks.storage.manifest import Manifest, ScannedFile, build_manifest, scan
from tasks.storage.names import MANIFEST, check_alias, check_name
from tasks.storage.store import Store

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Published:
    """A release that is in the store; `uri` names it for good, the counts are files and bytes."""

    name: str
    version: str
    uri: str
    files: int
    bytes: int
    uploaded_files: int
    uploaded_bytes: int


def publish(  # noqa: PLR0913 a release has that many aspects
    store: Store,
    folder: Path,
    name: str,
    aliases: Sequence[str] = ("latest",),
    *,
    meta: Mapping[str, Any] | None = None,
    on_progress: Progress | None = None,
) -> Published:
    """Publish every file below `folder` as a version of `name` and let `aliases` name it.

    `meta` (JSON values) is kept in an alias that moves. `on_progress` is told bytes done and bytes in all, one call
    at a time but from several threads. An alias that names this version already stays as it is.

    Raises:
        InputError: the folder or a name is not allowed, or the store refuses.
        UnavailableError: the store does not answer or lost bytes; publishing again goes on where this ended.
    """
    check_name(name)
    for alias in aliases:
        check_alias(alias)
    files = scan(folder)
    manifest = build_manifest(name, files)
    with store.explained():
        sent = _send_files(store, manifest, files, on_progress)
        _send_manifest(store, manifest)
    for alias in aliases:
        move_alias(store, name, alias, manifest.version, meta)
    return Published(
        name=name,
        version=manifest.version,
        uri=f"{store.place}/{name}@{manifest.version}",
        files=len(files),
        bytes=manifest.size,
        uploaded_files=len(sent),
        uploaded_bytes=sum(file.size for file in sent),
    )


def _send_files(
    store: Store, manifest: Manifest, files: Sequence[ScannedFile], on_progress: Progress | None
) -> list[ScannedFile]:
    """Upload what the store does not hold yet; return what was uploaded."""
    sent, done, lock = [], 0, threading.Lock()

    def count(more: int) -> None:
        nonlocal done
        with lock:
            done += more
            if on_progress is not None:
                on_progress(done, manifest.size)

    for file in files:
        key = store.key(manifest.name, "versions", manifest.version, file.path)
        if store.holds(key, file):
            count(file.size)
        else:
            store.upload(key, file, count)
            sent.append(file)
    return sent


def _send_manifest(store: Store, manifest: Manifest) -> None:
    key = store.key(manifest.name, "versions", manifest.version, MANIFEST)
    if store.read(key) != manifest.data and store.write(key, manifest.data) != manifest.data:
        raise UnavailableError(f"{key} is not the manifest that was written: try again")
