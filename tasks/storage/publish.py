"""Publishes a folder as a release: its files, then its manifest, then the aliases (see README.md in this folder).

A crash at any point leaves each alias on the complete version that it named before. Publishing again sends only what is
missing, since equal content has equal keys, and the store copies what the previous version holds already.
"""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.errors import InputError, SpinneretError, UnavailableError
from tasks.storage.aliases import read_alias
from tasks.storage.counting import Progress, counter
from tasks.storage.fetch import read_manifest
from tasks.storage.manifest import FileEntry, Manifest, ScannedFile, build_manifest, scan
from tasks.storage.names import MANIFEST, check_alias, check_name
from tasks.storage.promotion import promote
from tasks.storage.store import Store
from tasks.storage.transfer_pool import TransferPool

MIN_COPY = 2**20
"""Bytes from which a copy inside the store is tried; a smaller file is sent as quickly."""


@dataclass(frozen=True)
class Published:
    """A release in the store; `uri` is permanent.

    A file that was neither uploaded nor copied inside the store was there already.
    """

    name: str
    version: str
    uri: str
    files: int
    bytes: int
    uploaded_files: int
    uploaded_bytes: int
    copied_files: int = 0
    copied_bytes: int = 0


def publish(  # noqa: PLR0913 what, where to, how
    store: Store,
    folder: Path,
    name: str,
    aliases: Sequence[str] = ("latest",),
    *,
    meta: Mapping[str, Any] | None = None,
    on_progress: Progress | None = None,
) -> Published:
    """Publish every file below `folder` as a version of `name`, and move `aliases` to it.

    `meta` (JSON values) is stored in each alias that moves; one that names this version already stays as it is.

    Raises:
        InputError: the folder or a name is not allowed, or the store refuses.
        UnavailableError: the store does not answer or lost bytes; publishing again resumes.
    """
    check_name(name)
    for alias in aliases:
        check_alias(alias)
    files = scan(folder)
    manifest = build_manifest(name, files)
    previous = _previous_files(store, name, aliases)
    with store.explain_errors():
        sent, copied = _transfer_files(store, manifest, files, previous, on_progress)
        _write_manifest(store, manifest)
    for alias in aliases:
        promote(store, manifest, alias, meta, check=len(sent) + len(copied) < len(files))
    return Published(
        name=name,
        version=manifest.version,
        uri=f"{store.location}/{name}@{manifest.version}",
        files=len(files),
        bytes=manifest.size,
        uploaded_files=len(sent),
        uploaded_bytes=sum(file.size for file in sent),
        copied_files=len(copied),
        copied_bytes=sum(file.size for file in copied),
    )


def _previous_files(store: Store, name: str, aliases: Sequence[str]) -> dict[FileEntry, str]:
    """The keys, by content, of the version that the first alias names; empty if that is damaged or missing."""
    alias = previous = None
    with contextlib.suppress(InputError):
        alias = read_alias(store, name, aliases[0]) if aliases else None
    with contextlib.suppress(SpinneretError):
        previous = read_manifest(store, name, alias.version) if alias is not None else None
    if previous is None:
        return {}
    return {entry: store.key(name, "versions", previous.version, path) for path, entry in previous.files.items()}


def _transfer_files(
    store: Store,
    manifest: Manifest,
    files: Sequence[ScannedFile],
    previous: Mapping[FileEntry, str],
    on_progress: Progress | None,
) -> tuple[list[ScannedFile], list[ScannedFile]]:
    """Send or copy what the store does not hold yet; returns the files that were sent, and those that were copied."""
    count = counter(manifest.size, on_progress)

    def on_bytes(more: int) -> None:
        pool.raise_if_stopped()
        count(more)

    def transfer(file: ScannedFile) -> str:
        key = store.key(manifest.name, "versions", manifest.version, file.path)
        source = previous.get(FileEntry(file.size, file.sha256)) if file.size >= MIN_COPY else None
        if store.holds(key, file):
            count(file.size)
            return "held"
        if source is not None and store.copy(source, key, file, lambda _: pool.raise_if_stopped()):
            count(file.size)
            return "copied"
        store.upload(key, file, on_bytes)
        return "sent"

    with TransferPool() as pool:
        outcomes = list(zip(files, pool.map(transfer, files), strict=True))
    return [file for file, how in outcomes if how == "sent"], [file for file, how in outcomes if how == "copied"]


def _write_manifest(store: Store, manifest: Manifest) -> None:
    key = store.key(manifest.name, "versions", manifest.version, MANIFEST)
    if store.read(key) != manifest.data and store.write(key, manifest.data) != manifest.data:
        raise UnavailableError(f"{key} is not the manifest that was written: try again")
