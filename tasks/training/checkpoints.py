"""Checkpoints: where an interrupted training goes on, on this machine or on another.

What comes in: the key of a training, and a function that writes its state into a folder. What it leaves:
`data/checkpoints/<key>/step-0000000120/`, each whole or absent (also after kill -9 or a power cut), the newest few of
them, and with a mirror their copies in the object store. All of it is gone after `clear`, once the weights are made.

A thread makes the copies, one at a time and the newest first, so that a slow store never holds a training up and a
store that fails never ends it. This module knows nothing of what is in the files.
"""

import contextlib
import fcntl
import math
import os
import re
import socket
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from tasks.errors import SpinneretError, UnavailableError
from tasks.settings import settings
from tasks.stage.folders import MANIFEST, Facts, make_folder, make_place, read_manifest, remove_folder, remove_leftovers

if TYPE_CHECKING:
    from tasks.storage.checkpoint_uploads import CheckpointUploads
    from tasks.storage.mirror import Mirror

LAST_COPY_S = 60.0
"""How long the end of a training waits for its last checkpoint to be copied."""
_STEP = re.compile(r"step-(\d{10,})")
_LOCK = ".lock"


@dataclass(frozen=True)
class Checkpoint:
    """A whole checkpoint on this machine; `facts` are the JSON values that were saved with it."""

    step: int
    folder: Path
    facts: dict[str, Any]


class Checkpoints:
    """The checkpoints of the training `key`: the newest `limit`, here and in `mirror`.

    `tell` (left out: print) is given one sentence for each thing that went wrong and does not end the training, by two
    threads. Everything else: one thread.
    """

    def __init__(
        self, key: str, *, limit: int, mirror: "Mirror | None" = None, tell: Callable[[str], None] | None = None
    ) -> None:
        self._key = key
        self._limit = limit
        self._mirror = mirror
        self._tell = tell or print  # no default of the signature: Prefect puts its own in the place of print
        self._copies = None if mirror is None else _copies(mirror, limit, self._tell)
        self._held = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Wait for the last copy, but not after Ctrl-C or SystemExit."""
        self.close(limit_s=LAST_COPY_S if kind is None or issubclass(kind, Exception) else 0)

    @property
    def folder(self) -> Path:
        """Where they lie on this machine."""
        return settings().data / "checkpoints" / self._key

    def newest(self) -> Checkpoint | None:
        """The last whole checkpoint, fetched if the mirror has a later one than this machine; None if there is none.

        Damaged ones and what killed runs left are removed on the way. A mirror that cannot be asked is told of, and
        what is on this machine is used. Raises InputError when the disk is too full to fetch.
        """
        remove_leftovers(self.folder, "step-*")
        here = next((found for step in self._steps() if (found := self._find_here(step))), None)
        later = (step for step in self._steps_there() if here is None or step > here.step)
        return next((found for step in later if (found := self._fetch(step))), here)

    def find(self, step: int) -> Checkpoint | None:
        """The whole checkpoint of one step, fetched if only the mirror has it; None if there is none."""
        return self._find_here(step) or (self._fetch(step) if step in self._steps_there() else None)

    def save(self, step: int, fill: Callable[[Path], Facts], *, keep: Collection[int] = ()) -> None:
        """Let `fill` write a checkpoint and return its facts; then keep the newest `limit` and those in `keep` only.

        It is on the disk when this returns; the copy to the mirror follows. A step that is there and whole is not
        written again. Raises InputError when the disk is full, and then the earlier checkpoints are as they were.
        """
        if read_manifest(self._place(step)) is None:
            make_folder(self._place(step), fill, durable=True)
        whole = [found for found in self._steps() if (self._place(found) / MANIFEST).exists()]
        kept = {*whole[: self._limit], *keep}
        if self._copies is not None:
            to_copy = (step, *(found for found in whole if found in keep and found != step))
            kept |= self._copies.make({found: self._place(found) for found in to_copy})
        for found in self._steps():
            if found not in kept:
                remove_folder(self._place(found))

    def clear(self) -> None:
        """Remove all of them, here and in the mirror: the training is over.

        While another run holds them (see `exclusive`), those here are left to it: it clears when it ends.
        """
        self.close(limit_s=0)
        if self._mirror is not None:
            try:
                self._mirror.clear()
            except SpinneretError as error:
                self._tell(f"checkpoints: {self._mirror} is not needed any more but could not be deleted ({error})")
        lock = self._try_lock()  # None where this one holds it, too
        if self._held or lock is not None:
            remove_leftovers(self.folder, "step-*")
            for step in self._steps():
                remove_folder(self._place(step))
        if lock is not None:
            self._unlock(lock)

    def close(self, *, limit_s: float = LAST_COPY_S) -> None:
        """Wait `limit_s` seconds at most for the last copy and give it up then; nothing is copied after this."""
        if self._copies is not None:
            self._copies.close(limit_s)

    @contextlib.contextmanager
    def exclusive(self, *, limit_s: float = math.inf) -> Iterator[None]:
        """Be the only run of this training on this data folder while the block runs; after kill -9 the kernel lets go.

        A second run waits and says so, since it would make the same weights: inside the block, look first whether they
        are there by now. Hold it once, in the process that starts the training, until the weights are whole; a process
        that waits for its own parent waits for ever. Other machines are not kept out.

        Raises:
            UnavailableError: it was not free within `limit_s` seconds.
        """
        lock = self._wait_for_lock(limit_s)
        self._held = True
        try:
            yield
        finally:
            self._held = False
            self._unlock(lock)

    def _place(self, step: int) -> Path:
        return self.folder / f"step-{step:010d}"

    def _steps(self) -> list[int]:
        """The steps that have a folder here, whole or not, the newest first."""
        names = [path.name for path in self.folder.iterdir()] if self.folder.is_dir() else []
        return sorted((int(match[1]) for name in names if (match := _STEP.fullmatch(name))), reverse=True)

    def _find_here(self, step: int) -> Checkpoint | None:
        """A whole checkpoint; a damaged one is removed."""
        manifest = read_manifest(self._place(step))
        facts = None if manifest is None else manifest.get("facts")
        if isinstance(facts, dict):
            return Checkpoint(step, self._place(step), facts)
        with contextlib.suppress(OSError):  # it may belong to another user: it is not used all the same
            remove_folder(self._place(step))
        return None

    def _steps_there(self) -> list[int]:
        try:
            return [] if self._mirror is None else self._mirror.steps()
        except SpinneretError as error:
            self._tell(f"checkpoints: {self._mirror} cannot be asked, so those on this machine are used ({error})")
            return []

    def _fetch(self, step: int) -> Checkpoint | None:
        if self._mirror is None:
            return None
        from tasks.storage.mirror import MirrorError

        try:
            make_folder(self._place(step), partial(self._mirror.fetch, step), durable=True)
        except MirrorError as error:
            self._tell(f"checkpoints: step {step:,} cannot be fetched, so an older one is used ({error})")
            return None
        return self._find_here(step)

    def _wait_for_lock(self, limit_s: float) -> int:
        deadline, told = time.monotonic() + limit_s, False
        while (lock := self._try_lock()) is None:
            busy = f"the training {self._key[:12]} is already run by {self._holder()}"
            if time.monotonic() >= deadline:
                raise UnavailableError(
                    f"{busy} and was not free within {limit_s:g} s: let that run end, or stop it, then try again; "
                    "what it has made is used"
                )
            if not told:
                self._tell(f"checkpoints: {busy}; waiting until that ends, then what it has made is used")
                told = True
            time.sleep(0.2)
        return lock

    def _try_lock(self) -> int | None:
        """A descriptor that holds the lock, None while another process or thread has it."""
        while True:
            make_place(self.folder)
            with contextlib.suppress(FileNotFoundError):  # who had it just removed the folder: once more
                return _lock_file(self.folder / _LOCK)

    def _holder(self) -> str:
        with contextlib.suppress(OSError):
            return (self.folder / _LOCK).read_text() or "another process"
        return "another process"

    def _unlock(self, lock: int) -> None:
        """Let go; where there is no checkpoint, nothing is left."""
        if not self._steps():
            (self.folder / _LOCK).unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                self.folder.rmdir()
        fcntl.flock(lock, fcntl.LOCK_UN)  # closing is not enough: a forked worker may hold the descriptor too
        os.close(lock)


def _copies(mirror: "Mirror", limit: int, tell: Callable[[str], None]) -> "CheckpointUploads":
    from tasks.storage.checkpoint_uploads import CheckpointUploads

    return CheckpointUploads(mirror, limit, tell)


def _lock_file(path: Path) -> int | None:
    """A descriptor that holds `path` locked, None while another holds it; FileNotFoundError: it was just removed."""
    lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not os.path.samestat(os.fstat(lock), path.stat()):
            raise FileNotFoundError(path)
    except OSError as error:
        os.close(lock)
        if isinstance(error, BlockingIOError):
            return None
        raise
    os.ftruncate(lock, 0)
    os.pwrite(lock, f"process {os.getpid()} on {socket.gethostname()}".encode(), 0)
    return lock
