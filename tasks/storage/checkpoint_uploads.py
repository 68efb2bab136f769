"""Copying checkpoints while a training goes on: a slow store never holds it up, one that fails never ends it.

What comes in: a mirror, and whole checkpoint folders as they are made. What it leaves: their copies, made by a thread,
one at a time and the newest first; a sentence where one could not be made.
"""

import contextvars
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from tasks.errors import SpinneretError
from tasks.storage.mirror import Mirror

_GIVE_UP_S = 3.0


class Copies:
    """Copies to a mirror, by a thread that runs while there is something to copy; what is newer replaces what waits."""

    def __init__(self, mirror: Mirror, limit: int, tell: Callable[[str], None]) -> None:
        self._mirror = mirror
        self._limit = limit
        self._tell = tell
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._current: Mapping[int, Path] = {}
        self._next: Mapping[int, Path] = {}

    def make(self, folders: Mapping[int, Path]) -> set[int]:
        """Copy these next, in this order; returns the steps that must stay on the disk for now."""
        with self._lock:
            self._next = folders
            if self._thread is None or not self._thread.is_alive():
                context = contextvars.copy_context()  # Prefect's: what is told reaches the log of the run
                self._thread = threading.Thread(target=context.run, args=(self._run,), daemon=True)
                self._thread.start()
            return {*self._current, *folders}

    def close(self, limit_s: float) -> None:
        """Wait `limit_s` seconds at most for what is to be copied, then give it up, and tell so unless it is 0."""
        thread = self._thread
        if thread is None:
            return
        try:
            thread.join(limit_s)
        finally:  # after Ctrl-C, too
            given_up = thread.is_alive()
            self._stop.set()
            thread.join(_GIVE_UP_S)
        if given_up and limit_s:
            self._tell(f"checkpoints: the last one was not copied to {self._mirror} within {limit_s:g} s")

    def _run(self) -> None:
        while folders := self._take():
            try:
                self._mirror.copy(folders, limit=self._limit, stop=self._stop)
            except (SpinneretError, OSError) as error:
                if not self._stop.is_set():
                    self._tell(
                        f"checkpoints: step {max(folders):,} is on this machine but was not copied to {self._mirror} "
                        f"({error}); the next one will be tried"
                    )

    def _take(self) -> Mapping[int, Path]:
        with self._lock:
            self._current, self._next = ({} if self._stop.is_set() else self._next), {}
            if not self._current:
                self._thread = None
            return self._current
