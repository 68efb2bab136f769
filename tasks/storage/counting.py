"""Counts the bytes that several threads transfer."""

from collections.abc import Callable
from threading import Lock

Progress = Callable[[int, int], None]
"""Called with bytes done and bytes in total, one call at a time but from several threads."""


def counter(total: int, on_progress: Progress | None) -> Callable[[int], None]:
    """A function that adds up bytes and reports them; a negative number takes back bytes that will be sent again."""
    done, lock = 0, Lock()

    def count(more: int) -> None:
        nonlocal done
        with lock:
            done += more
            if on_progress is not None:
                on_progress(done, total)

    return count
