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
import re
import threading
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.errors import InputError, SpinneretError, UnavailableError
from tasks.storage.destination import open_store, parse_destination
from tasks.storage.folder_copies import FolderCopy
from tasks.storage.listing import folders
from tasks.storage.names import MANIFEST, check_segment
from tasks.storage.store import Store

CHECKPOINTS = "checkpoints"
_STEP = re.compile(r"step-(\d{10,})")


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
            return [step for step in self._steps(store) if self._copy(store, step).manifest() is not None]

    def fetch(self, step: int, folder: Path) -> dict[str, Any]:
        """Bring the files of a step into the empty `folder`, each verified, and return its facts.

        Raises:
            DamagedError: it is incomplete, or a name, a size or a hash is wrong; nothing was written outside `folder`.
            OSError: the disk is full.
        """
        with self._open() as store:
            try:
                return self._copy(store, step).fetch(folder)
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
                there = self._copy(store, step)
                if number == 0 or there.manifest() != (folder / MANIFEST).read_bytes():
                    there.send(folder, go_on)
            self._prune(store, limit, folders)

    def clear(self) -> None:
        """Delete every copy of this training."""
        with self._open() as store:
            for step in self._steps(store):
                self._copy(store, step).delete()

    @contextlib.contextmanager
    def _open(self) -> Iterator[Store]:
        try:
            with open_store(parse_destination(self.destination)) as store, store.explained():
                yield store
        except MirrorError:
            raise
        except SpinneretError as error:
            raise MirrorError(str(error)) from error

    def _copy(self, store: Store, step: int) -> FolderCopy:
        return FolderCopy(store, (*self._parts(), f"step-{step:010d}"))

    def _parts(self) -> tuple[str, str]:
        return CHECKPOINTS, check_segment(self.key, "the key of a training")

    def _steps(self, store: Store) -> list[int]:
        """The steps that have an object, complete or not, the newest first."""
        names = folders(store, *self._parts())
        return sorted((int(match[1]) for name in names if (match := _STEP.fullmatch(name))), reverse=True)

    def _prune(self, store: Store, limit: int, keep: Collection[int]) -> None:
        steps = self._steps(store)
        complete = [step for step in steps if self._copy(store, step).manifest() is not None]
        kept = {*complete[:limit], *keep}
        for step in steps:
            if step not in kept and step < max(kept):  # one above has no manifest: it may be on its way
                self._copy(store, step).delete()
