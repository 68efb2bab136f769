"""Checkpoints of a training: where it resumes after an interruption, on this machine or on another.

`data/checkpoints/<key>/step-0000000120/` is whole or absent, even after kill -9 or a power cut. The newest few are
kept, and with a mirror copied to the object store by a thread, one at a time and the newest first: a slow store never
delays a training, and a failing one never ends it. `clear` removes them when the weights are complete. This module does
not know what is in the files.
"""

import contextlib
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

from filelock import FileLock, Timeout

from tasks.errors import SpinneretError, UnavailableError
from tasks.settings import settings
from tasks.stage.folders import (
    MANIFEST,
    Facts,
    ensure_folder,
    make_folder,
    read_manifest,
    remove_folder,
    remove_leftovers,
)

if TYPE_CHECKING:
    from tasks.storage.mirror import Mirror

LAST_COPY_S = 60.0
"""How long the end of a training waits for its last checkpoint to be copied."""
_STEP = re.compile(r"step-(\d{10,})")
_LOCK = ".lock"
_POLL_S = 0.2


@dataclass(frozen=True)
class Checkpoint:
    """A whole checkpoint on this machine; `facts` are the JSON values that were saved with it."""

    step: int
    folder: Path
    facts: dict[str, Any]


class Checkpoints:
    """The newest `limit` checkpoints of the training `key`, on this machine and in `mirror`.

    `log` (default: print) is called with a message for each problem that does not end the training, from two threads.
    All methods must be called from one thread.
    """

    def __init__(
        self, key: str, *, limit: int, mirror: "Mirror | None" = None, log: Callable[[str], None] | None = None
    ) -> None:
        self._key = key
        self._limit = limit
        self._mirror = mirror
        self._log = log or print  # not a default of the signature, since Prefect replaces print later
        self._uploads = None
        self._held = False
        if mirror is not None:
            from tasks.storage.checkpoint_uploads import CheckpointUploads

            self._uploads = CheckpointUploads(mirror, limit, self._log)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Wait for the last copy, except after Ctrl-C or SystemExit."""
        self.close(limit_s=LAST_COPY_S if kind is None or issubclass(kind, Exception) else 0)

    @property
    def folder(self) -> Path:
        """The folder of all checkpoints on this machine."""
        return settings().data / "checkpoints" / self._key

    def newest(self) -> Checkpoint | None:
        """The last whole checkpoint, fetched if the mirror has a later one than this machine; None if there is none.

        Damaged checkpoints and leftovers of killed runs are removed. If the mirror does not answer, that is logged and
        the checkpoints on this machine are used. Raises InputError if the disk is too full to fetch.
        """
        remove_leftovers(self.folder, "step-*")
        local = next((found for step in self._steps() if (found := self._find_local(step))), None)
        later = (step for step in self._mirrored_steps() if local is None or step > local.step)
        return next((found for step in later if (found := self._fetch(step))), local)

    def find(self, step: int) -> Checkpoint | None:
        """The whole checkpoint of one step, fetched if only the mirror has it; None if there is none."""
        return self._find_local(step) or (self._fetch(step) if step in self._mirrored_steps() else None)

    def save(self, step: int, fill: Callable[[Path], Facts], *, keep: Collection[int] = ()) -> None:
        """Save the checkpoint that `fill` writes, then delete all but the newest `limit` and those in `keep`.

        It is on the disk when this returns; the copy to the mirror follows. A step that is already saved is not written
        again. Raises InputError if the disk is full; the earlier checkpoints are kept then.
        """
        if read_manifest(self._folder(step)) is None:
            make_folder(self._folder(step), fill, durable=True)
        whole = [found for found in self._steps() if (self._folder(found) / MANIFEST).exists()]
        kept = {*whole[: self._limit], *keep}
        if self._uploads is not None:
            to_copy = (step, *(found for found in whole if found in keep and found != step))
            kept |= self._uploads.start({found: self._folder(found) for found in to_copy})
        for found in self._steps():
            if found not in kept:
                remove_folder(self._folder(found))

    def clear(self) -> None:
        """Remove all checkpoints, here and in the mirror, because the training is complete.

        If another run holds them (see `exclusive`), the local ones are left to it: it clears them when it ends.
        """
        self.close(limit_s=0)
        if self._mirror is not None:
            try:
                self._mirror.clear()
            except SpinneretError as error:
                self._log(f"checkpoints: {self._mirror} is not needed any more but could not be deleted ({error})")
        lock = self._try_lock()  # None also if this run holds it
        if self._held or lock is not None:
            remove_leftovers(self.folder, "step-*")
            for step in self._steps():
                remove_folder(self._folder(step))
        if lock is not None:
            self._unlock(lock)

    def close(self, *, limit_s: float = LAST_COPY_S) -> None:
        """Wait at most `limit_s` seconds for the last copy, then abandon it; nothing is copied after this."""
        if self._uploads is not None:
            self._uploads.close(limit_s)

    @contextlib.contextmanager
    def exclusive(self, *, limit_s: float = math.inf) -> Iterator[None]:
        """Allow one run of this training per data folder while the block runs; kill -9 releases the lock.

        A second run waits and logs that, since it would make the same weights: check at the start of the block whether
        they exist by now. Take the lock once, in the process that starts the training, until the weights are complete;
        a child process that takes it would wait forever. Other machines are not excluded.

        Raises:
            UnavailableError: the lock was not free within `limit_s` seconds.
        """
        lock = self._wait_for_lock(limit_s)
        self._held = True
        try:
            yield
        finally:
            self._held = False
            self._unlock(lock)

    def _folder(self, step: int) -> Path:
        return self.folder / f"step-{step:010d}"

    def _steps(self) -> list[int]:
        """The steps that have a local folder, whole or not, the newest first."""
        names = [path.name for path in self.folder.iterdir()] if self.folder.is_dir() else []
        return sorted((int(match[1]) for name in names if (match := _STEP.fullmatch(name))), reverse=True)

    def _find_local(self, step: int) -> Checkpoint | None:
        """A whole local checkpoint; a damaged one is removed."""
        manifest = read_manifest(self._folder(step))
        facts = None if manifest is None else manifest.get("facts")
        if isinstance(facts, dict):
            return Checkpoint(step, self._folder(step), facts)
        with contextlib.suppress(OSError):  # it may belong to another user; it is ignored in any case
            remove_folder(self._folder(step))
        return None

    def _mirrored_steps(self) -> list[int]:
        try:
            return [] if self._mirror is None else self._mirror.steps()
        except SpinneretError as error:
            self._log(f"checkpoints: {self._mirror} cannot be read, so those on this machine are used ({error})")
            return []

    def _fetch(self, step: int) -> Checkpoint | None:
        if self._mirror is None:
            return None
        from tasks.storage.mirror import MirrorError

        try:
            make_folder(self._folder(step), partial(self._mirror.fetch, step), durable=True)
        except MirrorError as error:
            self._log(f"checkpoints: step {step:,} cannot be fetched, so an older one is used ({error})")
            return None
        return self._find_local(step)

    def _wait_for_lock(self, limit_s: float) -> FileLock:
        deadline, logged = time.monotonic() + limit_s, False
        while (lock := self._try_lock()) is None:
            busy = f"the training {self._key[:12]} is already run by {self._holder()}"
            if time.monotonic() >= deadline:
                raise UnavailableError(
                    f"{busy} and did not end within {limit_s:g} s: wait for that run, or stop it, then try again; its "
                    "checkpoints are used"
                )
            if not logged:
                self._log(f"checkpoints: {busy}; waiting for it to end, then its result is used")
                logged = True
            time.sleep(_POLL_S)
        return lock

    def _try_lock(self) -> FileLock | None:
        """The acquired lock; None while another process, thread or object holds it."""
        lock = FileLock(self.folder / _LOCK, blocking=False, on_acquired=_write_holder)
        while True:
            ensure_folder(self.folder)
            try:
                lock.acquire()
            except Timeout:
                return None
            except FileNotFoundError:  # the run that held it has just removed the folder
                continue
            return lock

    def _holder(self) -> str:
        with contextlib.suppress(OSError):
            return (self.folder / _LOCK).read_text() or "another process"
        return "another process"

    def _unlock(self, lock: FileLock) -> None:
        """Release the lock; without checkpoints the folder is removed."""
        if not self._steps():
            (self.folder / _LOCK).unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                self.folder.rmdir()
        lock.release()


def _write_holder(descriptor: int) -> None:
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"process {os.getpid()} on {socket.gethostname()}".encode(), 0)
