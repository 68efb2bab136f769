"""Ctrl-C and SIGTERM during training: stop after the current batch, so that a checkpoint can be saved.

A second signal takes effect at once.
"""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stop:
    """Whether a signal asked the training to stop; the training reads `requested` between batches."""

    def __init__(self) -> None:
        self._received: int | None = None
        self._frame: FrameType | None = None
        self._before: dict[int, Any] = {}

    @property
    def requested(self) -> bool:
        """Whether a signal arrived."""
        return self._received is not None

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self._received is not None:
            self._deliver(number, frame)
        self._received, self._frame = number, frame

    def _deliver(self, number: int, frame: FrameType | None) -> None:
        """Run the signal's earlier handler, which raises KeyboardInterrupt or Prefect's TerminationSignal, or exit."""
        handler: Callable[[int, FrameType | None], Any] | int | None = self._before.get(number)
        if callable(handler):
            handler(number, frame)
        else:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)


@contextmanager
def delayed_stop() -> Iterator[Stop]:
    """While the block runs, a signal only sets the flag; it is delivered at the end of the block.

    An ignored signal stays ignored (a shell starts background jobs with SIGINT ignored): a training that stopped early
    for it would count as complete. Outside the main thread nothing changes: Python delivers signals there only.
    """
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    handled = [number for number in SIGNALS if signal.getsignal(number) != signal.SIG_IGN]
    stop._before = {number: signal.signal(number, stop._receive) for number in handled}
    try:
        yield stop
    finally:
        for number, handler in stop._before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
    if stop._received is not None:
        stop._deliver(stop._received, stop._frame)
