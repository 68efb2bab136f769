"""Copies of whole folders in an object store: checkpoints, and stage folders that another machine needs.

    <prefix>/<parts>/<files>          first
    <prefix>/<parts>/manifest.json    last: its presence means complete; deleted before the files

The manifest is that of the folder. It may come from another machine: names are checked before anything is written,
sizes and sha256 afterwards.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from tasks.errors import InputError, UnavailableError
from tasks.storage.counting import Progress, counter
from tasks.storage.listing import delete_all, list_folders
from tasks.storage.manifest import FileEntry, is_valid, read_file
from tasks.storage.names import MANIFEST, check_file_paths
from tasks.storage.receiving import fetch_file
from tasks.storage.store import Store

STAGES = "stages"
"""The folder of the stage folders, below the prefix of a destination."""


@dataclass(frozen=True)
class FolderCopy:
    """The copy of one folder, at `parts` below the prefix of the store; its methods raise the errors of botocore."""

    store: Store
    parts: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.store.location.rstrip('/')}/{'/'.join(self.parts)}"

    def manifest(self) -> bytes | None:
        """The bytes of the manifest; None where there is no complete copy."""
        return self.store.read(self._key(MANIFEST))

    def send(self, folder: Path, on_bytes: Callable[[int], None], *, replace: bool = True) -> None:
        """Send a whole folder; files that the store holds already are not sent again.

        `on_bytes` is called with the number of bytes sent, by several threads, and may raise. A complete copy of
        another folder is replaced, and is absent meanwhile; without `replace` it stays and nothing is sent.

        Raises:
            UnavailableError: a file differs from the folder's manifest, or another process writes there.
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
                    f"{folder / path} differs from its manifest and was not copied to {self}: try again"
                )
            if not self.store.holds(self._key(path), file):
                self.store.upload(self._key(path), file, on_bytes)
        if held != data and self.store.write(self._key(MANIFEST), data) != data:
            raise UnavailableError(f"another process writes to {self} at the same time: try again")

    def fetch(self, folder: Path, on_progress: Progress | None = None) -> dict[str, Any]:
        """Download the files into the empty `folder`, each verified, and return the facts of the manifest.

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
        """Give a complete copy the current time, so that it is not deleted as old; whether there is one."""
        held = self.manifest()
        return held is not None and self.store.write(self._key(MANIFEST), held) == held

    def delete_older(self, than: datetime) -> None:
        """Delete a complete copy older than `than`, by the store's clock."""
        if self.manifest() is None:
            return
        head = self.store.client.head_object(Bucket=self.store.bucket, Key=self._key(MANIFEST))
        if head["LastModified"] < than:
            self.delete()

    def delete(self) -> None:
        """Delete the copy, its manifest first, so that an interrupted deletion leaves an absent copy."""
        self._delete_object(MANIFEST)
        delete_all(self.store, *self.parts)

    def _key(self, path: str) -> str:
        return self.store.key(*self.parts, path)

    def _delete_object(self, path: str) -> None:
        self.store.client.delete_object(Bucket=self.store.bucket, Key=self._key(path))


def shared_folders(store: Store) -> list[FolderCopy]:
    """The copies of stage folders at a destination, complete or not."""
    return [
        FolderCopy(store, (STAGES, stage, key))
        for stage in list_folders(store, STAGES)
        for key in list_folders(store, STAGES, stage)
    ]


def _parse(data: bytes) -> tuple[dict[str, Any], dict[str, FileEntry]]:
    """Facts and files of a manifest that another machine wrote; InputError where it is not valid."""
    try:
        content = json.loads(data)
        facts = dict(content["facts"])
        files = {path: FileEntry(entry["size"], entry["sha256"]) for path, entry in content["files"].items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"its manifest cannot be read ({error!r})") from error
    if not all(map(is_valid, files.values())):
        raise InputError("its manifest has an invalid size or sha256")
    check_file_paths(files, code_allowed=True)
    return facts, files
