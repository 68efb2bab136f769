"""Copies of whole folders in an object store: of checkpoints, and of stage folders that another machine needs.

What comes in: an open store, and a folder whose `manifest.json` names its files with size and sha256, and has `facts`.
What it leaves, below `<prefix>/<parts>/`:

    <files>          first
    manifest.json    last: its presence means complete; deleted before the files are

What is read is another machine's word: names are checked before anything is written, sizes and sha256 after.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from tasks.errors import InputError, UnavailableError
from tasks.storage.counting import Progress, counter
from tasks.storage.listing import delete_all, folders
from tasks.storage.manifest import FileEntry, is_sound, read_file
from tasks.storage.names import MANIFEST, check_file_paths
from tasks.storage.receiving import fetch_file
from tasks.storage.store import Store

STAGES = "stages"
"""Below the prefix of a destination: where stage folders lie."""


@dataclass(frozen=True)
class FolderCopy:
    """One folder's copy, below the prefix of the store at `parts`; errors of the store come as botocore has them."""

    store: Store
    parts: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.store.place.rstrip('/')}/{'/'.join(self.parts)}"

    def manifest(self) -> bytes | None:
        """The manifest's bytes; None where there is no complete copy."""
        return self.store.read(self._key(MANIFEST))

    def send(self, folder: Path, on_bytes: Callable[[int], None], *, replace: bool = True) -> None:
        """Bring a whole folder there; files that are there already are not sent again.

        `on_bytes` is told how many more bytes went out, by several threads, and may raise. A complete copy of another
        folder is replaced: it is absent meanwhile. Without `replace` it stays, and nothing is sent.

        Raises:
            UnavailableError: a file is not what the folder's manifest states, or another process writes there.
        """
        data, held = (folder / MANIFEST).read_bytes(), self.manifest()
        if held is not None and not replace:
            return
        if held not in (None, data):
            self._delete_object(MANIFEST)
        for path, stated in _parse(data)[1].items():
            file = read_file(path, folder / path)
            if (file.size, file.sha256) != (stated.size, stated.sha256):
                raise UnavailableError(
                    f"{folder / path} is not what its manifest states and was not copied to {self}: try again"
                )
            if not self.store.holds(self._key(path), file):
                self.store.upload(self._key(path), file, on_bytes)
        if held != data and self.store.write(self._key(MANIFEST), data) != data:
            raise UnavailableError(f"another process writes to {self} at the same time: try again")

    def fetch(self, folder: Path, on_progress: Progress | None = None) -> dict[str, Any]:
        """Bring the files into the empty `folder`, each verified, and return the facts of the manifest.

        Raises:
            InputError: there is no complete copy, or a name, a size or a hash is wrong; nothing is written outside.
            OSError: the disk is full.
        """
        data = self.manifest()
        if data is None:
            raise InputError("it has no manifest")
        facts, files = _parse(data)
        count = counter(sum(stated.size for stated in files.values()), on_progress)
        for path, stated in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            fetch_file(self.store, self._key(path), stated, folder / path, count)
        return facts

    def touch(self) -> bool:
        """Make a complete copy count as new for those who delete old ones; whether there is one."""
        held = self.manifest()
        return held is not None and self.store.write(self._key(MANIFEST), held) == held

    def delete_older(self, than: datetime) -> None:
        """Delete a complete copy that was made before `than`, by the store's clock."""
        if self.manifest() is None:
            return
        head = self.store.client.head_object(Bucket=self.store.bucket, Key=self._key(MANIFEST))
        if head["LastModified"] < than:
            self.delete()

    def delete(self) -> None:
        """Delete it, its manifest first, so that what is half deleted is absent."""
        self._delete_object(MANIFEST)
        delete_all(self.store, *self.parts)

    def _key(self, path: str) -> str:
        return self.store.key(*self.parts, path)

    def _delete_object(self, path: str) -> None:
        self.store.client.delete_object(Bucket=self.store.bucket, Key=self._key(path))


def shared_folders(store: Store) -> list[FolderCopy]:
    """The copies of stage folders at a destination, complete or not."""
    places = [(STAGES, stage, key) for stage in folders(store, STAGES) for key in folders(store, STAGES, stage)]
    return [FolderCopy(store, parts) for parts in places]


def _parse(data: bytes) -> tuple[dict[str, Any], dict[str, FileEntry]]:
    """Facts and files of a manifest that somebody else wrote: InputError if anything in it is not sound."""
    try:
        content = json.loads(data)
        facts = dict(content["facts"])
        files = {path: FileEntry(entry["size"], entry["sha256"]) for path, entry in content["files"].items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"its manifest cannot be read ({error!r})") from error
    if not all(map(is_sound, files.values())):
        raise InputError("its manifest states a size or a sha256 that is none")
    check_file_paths(files, code_allowed=True)
    return facts, files
