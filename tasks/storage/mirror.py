"""Copies of a training's checkpoints in an object store, so that another machine can resume it.

    checkpoints/<key>/step-0000000120/<files>          first
    checkpoints/<key>/step-0000000120/manifest.json    last: its presence means complete; deleted before the files

The store is opened for each call, not for the whole training: a folder has one server at a time, which would lock out
every other run that releases to it. Opening takes a few tenths of a second. A copied file may be one that pickle reads,
so it must be loaded with `weights_only=True`.
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
from tasks.storage.listing import list_folders
from tasks.storage.names import MANIFEST, check_segment
from tasks.storage.store import Store

CHECKPOINTS = "checkpoints"
_STEP = re.compile(r"step-(\d{10,})")


class MirrorError(UnavailableError):
    """The copies cannot be used now; the training continues without them."""


class DamagedError(MirrorError):
    """One copy differs from its manifest; an older one may be valid."""


@dataclass(frozen=True)
class Mirror:
    """The copies of one training's checkpoints, in `destination` (a folder or s3://bucket/prefix) under `key`.

    Every method may raise MirrorError when the store cannot be used.
    """

    destination: str
    key: str

    def __str__(self) -> str:
        return f"{self.destination.rstrip('/')}/{CHECKPOINTS}/{self.key}"

    def steps(self) -> list[int]:
        """The steps that have a complete copy, newest first."""
        with self._open() as store:
            return [step for step in self._steps(store) if self._copy(store, step).manifest() is not None]

    def fetch(self, step: int, folder: Path) -> dict[str, Any]:
        """Download the files of a step into the empty `folder`, each verified, and return its facts.

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
        """Copy whole folders (by step) in this order; then delete all other copies except the newest `limit`.

        Complete copies are not sent again: the first is compared file by file, the others by their manifests. When
        `stop` is set, this ends within seconds with a MirrorError.

        Raises:
            OSError: a folder was removed meanwhile.
        """

        def raise_if_stopped(*_: object, **__: object) -> None:
            if stop.is_set():
                raise MirrorError(f"the copy to {self} was stopped")

        with self._open() as store:
            store.client.meta.events.register("before-send.s3", raise_if_stopped)  # also between botocore's retries
            for number, (step, folder) in enumerate(folders.items()):
                copy = self._copy(store, step)
                if number == 0 or copy.manifest() != (folder / MANIFEST).read_bytes():
                    copy.send(folder, raise_if_stopped)
            self._prune(store, limit, folders)

    def clear(self) -> None:
        """Delete every copy of this training."""
        with self._open() as store:
            for step in self._steps(store):
                self._copy(store, step).delete()

    @contextlib.contextmanager
    def _open(self) -> Iterator[Store]:
        try:
            with open_store(parse_destination(self.destination)) as store, store.explain_errors():
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
        """The steps that have an object, complete or not, newest first."""
        names = list_folders(store, *self._parts())
        return sorted((int(match[1]) for name in names if (match := _STEP.fullmatch(name))), reverse=True)

    def _prune(self, store: Store, limit: int, keep: Collection[int]) -> None:
        steps = self._steps(store)
        complete = [step for step in steps if self._copy(store, step).manifest() is not None]
        kept = {*complete[:limit], *keep}
        for step in steps:
            if step not in kept and step < max(kept):  # a newer one without a manifest may be in progress
                self._copy(store, step).delete()
