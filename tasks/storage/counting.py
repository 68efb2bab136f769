"""Counting bytes that several threads move."""

from collections.abc import Callable
from threading import Lock

Progress = Callable[[int, int], None]
"""Told bytes done and bytes in all, one call at a time but from several threads."""


def counter(total: int, on_progress: Progress | None) -> Callable[[int], None]:
    """A function that adds up bytes (less than none: what is sent again) and tells of them."""
    done, lock = 0, Lock()

    def count(more: int) -> None:
        nonlocal done
        with lock:
            done += more
            if on_progress is not None:
                on_progress(done, total)

    return count
