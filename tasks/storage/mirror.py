"""Copies of checkpoints in an object store, so that another machine can go on with a training.

What comes in: a destination, the key of a training and whole checkpoint folders, each with a `manifest.json` that names
its files. What it leaves, below the destination and beside the releases:

    checkpoints/<key>/step-0000000120/<files>          first
    checkpoints/<key>/step-0000000120/manifest.json    last: its presence means complete; deleted before the files are

The store is opened for each call and not for the length of a training: a folder has one server at a time, and a server
that stays would lock out every other run that releases to the same folder. A start costs a few tenths of a second.

What is read is another machine's word: names are checked before anything is written, sizes and sha256 after. A file may
be one that pickle reads; whoever loads it must take tensors only (`weights_only=True`).
"""

import contextlib
import json
import re
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.errors import InputError, SpinneretError, UnavailableError
from tasks.storage.destination import open_store, parse_destination
from tasks.storage.manifest import FileEntry, is_sound, read_file
from tasks.storage.names import MANIFEST, check_file_paths, check_segment
from tasks.storage.receiving import fetch_file
from tasks.storage.store import Store

CHECKPOINTS = "checkpoints"
_STEP = re.compile(r"step-(\d{10,})/")


class MirrorError(UnavailableError):
    """The copies cannot be used now; a training can go on without them."""


class DamagedError(MirrorError):
    """One copy is not what its manifest states; an older one may be."""


@dataclass(frozen=True)
class Mirror:
    """The copies of one training's checkpoints, in `destination` (a folder or s3://bucket/prefix) under `key`.

    Every method may raise MirrorError, a sentence, when the store cannot be used.
    """

    destination: str
    key: str

    def __str__(self) -> str:
        return f"{self.destination.rstrip('/')}/{CHECKPOINTS}/{self.key}"

    def steps(self) -> list[int]:
        """The steps that are complete by their manifests, the newest first."""
        with self._open() as store:
            return [step for step in self._steps(store) if self._is_complete(store, step)]

    def fetch(self, step: int, folder: Path) -> dict[str, Any]:
        """Bring the files of a step into the empty `folder`, each verified, and return its facts.

        Raises:
            DamagedError: it is incomplete, or a name, a size or a hash is wrong; nothing was written outside `folder`.
            OSError: the disk is full.
        """
        with self._open() as store:
            try:
                return self._fetch(store, step, folder)
            except InputError as error:
                raise DamagedError(f"step {step:,} in {self} is damaged: {error}") from error

    def copy(self, folders: Mapping[int, Path], *, limit: int, stop: threading.Event) -> None:
        """Copy whole folders (by step) in their order; then keep these and the newest `limit`, and delete the others.

        What is there already is not sent again: the first is compared file by file, the others by their manifests.
        When `stop` is set, this ends within seconds with a MirrorError.

        Raises:
            OSError: a folder was removed meanwhile.
        """

        def go_on(*_: object, **__: object) -> None:
            if stop.is_set():
                raise MirrorError(f"the copy to {self} was stopped")

        with self._open() as store:
            store.client.meta.events.register("before-send.s3", go_on)  # or botocore would try again and again
            for number, (step, folder) in enumerate(folders.items()):
                self._upload(store, step, folder, go_on, check=number == 0)
            self._prune(store, limit, folders)

    def clear(self) -> None:
        """Delete every copy of this training."""
        with self._open() as store:
            for step in self._steps(store):
                self._delete(store, step)

    @contextlib.contextmanager
    def _open(self) -> Iterator[Store]:
        try:
            with open_store(parse_destination(self.destination)) as store, store.explained():
                yield store
        except MirrorError:
            raise
        except SpinneretError as error:
            raise MirrorError(str(error)) from error

    def _key(self, store: Store, *parts: str) -> str:
        return store.key(CHECKPOINTS, check_segment(self.key, "the key of a training"), *parts)

    def _steps(self, store: Store) -> list[int]:
        """The steps that have an object, complete or not, the newest first.

        Files are not listed: a server over a folder reads every listed file to tell its ETag.
        """
        prefix = self._key(store, "")
        pages = store.client.get_paginator("list_objects_v2").paginate(
            Bucket=store.bucket, Prefix=prefix, Delimiter="/"
        )
        names = [found["Prefix"].removeprefix(prefix) for page in pages for found in page.get("CommonPrefixes", [])]
        return sorted((int(match[1]) for name in names if (match := _STEP.fullmatch(name))), reverse=True)

    def _is_complete(self, store: Store, step: int) -> bool:
        return store.read(self._key(store, _name(step), MANIFEST)) is not None

    def _upload(self, store: Store, step: int, folder: Path, go_on: Callable[..., None], *, check: bool) -> None:
        data, key = (folder / MANIFEST).read_bytes(), self._key(store, _name(step), MANIFEST)
        held = store.read(key)
        if held == data and not check:
            return
        if held not in (None, data):  # of another run, with other bytes: absent while its files are replaced
            store.client.delete_object(Bucket=store.bucket, Key=key)
        for path, stated in _parse(data)[1].items():
            file = read_file(path, folder / path)
            if (file.size, file.sha256) != (stated.size, stated.sha256):
                raise MirrorError(f"{folder / path} is not what its manifest states and was not copied to {self}")
            target = self._key(store, _name(step), path)
            if not store.holds(target, file):
                store.upload(target, file, go_on)
        if held != data and store.write(key, data) != data:
            raise MirrorError(f"another training writes to {self} at the same time")

    def _prune(self, store: Store, limit: int, keep: Collection[int]) -> None:
        steps = self._steps(store)
        kept = {*[step for step in steps if self._is_complete(store, step)][:limit], *keep}
        for step in steps:
            if step not in kept and step < max(kept):  # one above has no manifest: it may be on its way
                self._delete(store, step)

    def _delete(self, store: Store, step: int) -> None:
        """Delete a step, its manifest first, so that what is half deleted is absent."""
        store.client.delete_object(Bucket=store.bucket, Key=self._key(store, _name(step), MANIFEST))
        prefix = self._key(store, _name(step), "")
        for page in store.client.get_paginator("list_objects_v2").paginate(Bucket=store.bucket, Prefix=prefix):
            for item in page.get("Contents", []):
                store.client.delete_object(Bucket=store.bucket, Key=item["Key"])

    def _fetch(self, store: Store, step: int, folder: Path) -> dict[str, Any]:
        data = store.read(self._key(store, _name(step), MANIFEST))
        if data is None:
            raise InputError("it has no manifest")
        facts, files = _parse(data)
        for path, stated in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            fetch_file(store, self._key(store, _name(step), path), stated, folder / path, lambda _: None)
        return facts


def _name(step: int) -> str:
    return f"step-{step:010d}"


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
