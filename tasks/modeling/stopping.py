"""Stopping: Ctrl-C and SIGTERM in the middle of a training, without losing what was trained.

What comes in: signals. What it leaves: a flag that the training looks at after each batch, and, when the training has
saved itself, the signal as it would have been without us (KeyboardInterrupt, Prefect's TerminationSignal, the end of
the process). A second signal of the same kind does not wait.
"""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stop:
    """Whether somebody wants the training to end; `wanted` is looked at between batches."""

    def __init__(self) -> None:
        self._received: int | None = None
        self._frame: FrameType | None = None
        self._before: dict[int, Any] = {}

    @property
    def wanted(self) -> bool:
        """Whether a signal arrived."""
        return self._received is not None

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self._received is not None:
            self._deliver(number, frame)
        self._received, self._frame = number, frame

    def _deliver(self, number: int, frame: FrameType | None) -> None:
        """What would have happened without us."""
        handler: Callable[[int, FrameType | None], Any] | int | None = self._before.get(number)
        if callable(handler):
            handler(number, frame)
        else:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)


@contextmanager
def delayed_stop() -> Iterator[Stop]:
    """While the block runs, signals set the flag; at its end a signal that arrived is delivered.

    A signal that is ignored stays so (a shell starts what runs in the background deaf to Ctrl-C): a training that ended
    for it would pass for a whole one. Outside the main thread nothing is changed: Python delivers signals there only.
    """
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    heeded = [number for number in SIGNALS if signal.getsignal(number) != signal.SIG_IGN]
    stop._before = {number: signal.signal(number, stop._receive) for number in heeded}
    try:
        yield stop
    finally:
        for number, handler in stop._before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
    if stop._received is not None:
        stop._deliver(stop._received, stop._frame)
