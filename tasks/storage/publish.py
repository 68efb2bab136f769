"""Publish a folder as a release.

What comes in: an open store, a folder and a name. What it leaves, in this order:

    <prefix>/<name>/versions/<version>/<files>          immutable, under the sha256 of the manifest
    <prefix>/<name>/versions/<version>/manifest.json    last of the version: its presence means complete
    <prefix>/<name>/aliases/<alias>.json                the only object that changes

A crash at any point leaves each alias on the complete version that it named before, and publishing again sends only
what is not there yet: equal content has equal keys. What the version before has already, the store copies.
"""

import contextlib
from collections.abc import Callable, Mapping, Sequence
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
from tasks.storage.transfer_pool import Crew

MIN_COPY = 2**20
"""Bytes of a file that is worth a request to copy it inside the store; a smaller one is sent as quickly."""


@dataclass(frozen=True)
class Published:
    """A release that is in the store; `uri` names it for good, the counts are files and bytes.

    Of the files, those `uploaded` were sent, those `copied` were copied inside the store, and the others were there.
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
    previous = _previous_files(store, name, aliases)
    with store.explained():
        sent, copied = _bring_files(store, manifest, files, previous, on_progress)
        _send_manifest(store, manifest)
    for alias in aliases:
        promote(store, manifest, alias, meta, check=len(sent) + len(copied) < len(files))
    return Published(
        name=name,
        version=manifest.version,
        uri=f"{store.place}/{name}@{manifest.version}",
        files=len(files),
        bytes=manifest.size,
        uploaded_files=len(sent),
        uploaded_bytes=sum(file.size for file in sent),
        copied_files=len(copied),
        copied_bytes=sum(file.size for file in copied),
    )


def _previous_files(store: Store, name: str, aliases: Sequence[str]) -> dict[FileEntry, str]:
    """What the first alias names now: the key of each content. Damaged or not there, it is of no help."""
    alias = previous = None
    with contextlib.suppress(InputError):
        alias = read_alias(store, name, aliases[0]) if aliases else None
    with contextlib.suppress(SpinneretError):
        previous = read_manifest(store, name, alias.version) if alias is not None else None
    if previous is None:
        return {}
    return {entry: store.key(name, "versions", previous.version, path) for path, entry in previous.files.items()}


def _bring_files(
    store: Store,
    manifest: Manifest,
    files: Sequence[ScannedFile],
    previous: Mapping[FileEntry, str],
    on_progress: Progress | None,
) -> tuple[list[ScannedFile], list[ScannedFile]]:
    """Bring what the store does not hold yet; return what was sent and what was copied."""
    count = counter(manifest.size, on_progress)
    with Crew() as crew:
        how = crew.each_file(_Bringer(store, manifest, previous, crew, count).bring, files)
    brought = list(zip(files, how, strict=True))
    return [file for file, was in brought if was == "sent"], [file for file, was in brought if was == "copied"]


@dataclass(frozen=True)
class _Bringer:
    """Brings files into the store, several at once; `previous` as of `_previous_files`."""

    store: Store
    manifest: Manifest
    previous: Mapping[FileEntry, str]
    crew: Crew
    count: Callable[[int], None]

    def bring(self, file: ScannedFile) -> str:
        """Make sure that the store holds a file, and say how it came there: "held" before, "copied" or "sent"."""
        key = self.store.key(self.manifest.name, "versions", self.manifest.version, file.path)
        if self.store.holds(key, file):
            self.count(file.size)
            return "held"
        if self._copy(key, file):
            self.count(file.size)
            return "copied"
        self.store.upload(key, file, self.count, self.crew)
        return "sent"

    def _copy(self, key: str, file: ScannedFile) -> bool:
        source = self.previous.get(FileEntry(file.size, file.sha256))
        if source is None or file.size < MIN_COPY:
            return False
        return self.store.copy(source, key, file, lambda _: self.crew.go_on())


def _send_manifest(store: Store, manifest: Manifest) -> None:
    key = store.key(manifest.name, "versions", manifest.version, MANIFEST)
    if store.read(key) != manifest.data and store.write(key, manifest.data) != manifest.data:
        raise UnavailableError(f"{key} is not the manifest that was written: try again")
