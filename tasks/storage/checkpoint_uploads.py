"""Copies checkpoints while a training runs: a slow store never delays it, a failing one never ends it."""

import contextvars
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from tasks.errors import SpinneretError
from tasks.storage.mirror import Mirror

_GIVE_UP_S = 3.0


class CheckpointUploads:
    """Copies checkpoints to a mirror in a background thread; a newer checkpoint replaces one that is still waiting."""

    def __init__(self, mirror: Mirror, limit: int, on_failure: Callable[[str], None]) -> None:
        self._mirror = mirror
        self._limit = limit
        self._on_failure = on_failure
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._current: Mapping[int, Path] = {}
        self._next: Mapping[int, Path] = {}

    def start(self, folders: Mapping[int, Path]) -> set[int]:
        """Copy these folders next, in this order; returns the steps that must stay on disk for now."""
        with self._lock:
            self._next = folders
            if self._thread is None or not self._thread.is_alive():
                context = contextvars.copy_context()  # Prefect's: log lines reach the flow run
                self._thread = threading.Thread(target=context.run, args=(self._run,), daemon=True)
                self._thread.start()
            return {*self._current, *folders}

    def close(self, limit_s: float) -> None:
        """Wait at most `limit_s` seconds for the last copy, then give up, and report that unless it is 0."""
        thread = self._thread
        if thread is None:
            return
        try:
            thread.join(limit_s)
        finally:  # also after Ctrl-C
            given_up = thread.is_alive()
            self._stop.set()
            thread.join(_GIVE_UP_S)
        if given_up and limit_s:
            self._on_failure(f"checkpoints: the last one was not copied to {self._mirror} within {limit_s:g} s")

    def _run(self) -> None:
        while folders := self._take():
            try:
                self._mirror.copy(folders, limit=self._limit, stop=self._stop)
            except (SpinneretError, OSError) as error:
                if not self._stop.is_set():
                    self._on_failure(
                        f"checkpoints: step {max(folders):,} is on this machine but was not copied to {self._mirror} "
                        f"({error}); the next one will be tried"
                    )

    def _take(self) -> Mapping[int, Path]:
        with self._lock:
            self._current, self._next = ({} if self._stop.is_set() else self._next), {}
            if not self._current:
                self._thread = None
            return self._current
