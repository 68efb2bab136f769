"""A thread pool for one transfer: either every item is done, or the first failure is raised and the rest stops."""

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor, wait
from types import TracebackType
from typing import Self, TypeVar

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class StoppedError(CancelledError):  # botocore retries a request whose body raises anything else
    """The work was given up because another item failed; never leaves the pool."""


class TransferPool:
    """Threads for one transfer; leaving the `with` block waits for them.

    After a failure, or a Ctrl-C in the waiting thread, nothing more begins, and running items end at their next
    `raise_if_stopped`.
    """

    def __init__(self, threads: int = 4) -> None:
        self._executor = ThreadPoolExecutor(threads)
        self._stop = threading.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if kind is not None:
            self._stop.set()
        self._executor.shutdown()

    def raise_if_stopped(self) -> None:
        """Raise StoppedError if another item has failed."""
        if self._stop.is_set():
            raise StoppedError

    def map(
        self, function: Callable[[_Item], _Result], items: Sequence[_Item], *, ahead: int | None = None
    ) -> Iterator[_Result]:
        """Call `function` for every item, and yield the results in order; at most `ahead` of them are held at a time.

        Nothing is called before the first result is asked for.
        """
        begun: deque[Future[_Result]] = deque()
        try:
            for item in items:
                begun.append(self._executor.submit(self._call, function, item))
                if len(begun) == ahead:
                    yield _first_result(begun)
            while begun:
                yield _first_result(begun)
        except BaseException:
            self._stop.set()
            wait(begun)
            raise

    def _call(self, function: Callable[[_Item], _Result], item: _Item) -> _Result:
        self.raise_if_stopped()
        try:
            return function(item)
        except BaseException:
            self._stop.set()
            raise


def _first_result(begun: deque[Future[_Result]]) -> _Result:
    """The result of the first item; where it failed, the failure that stopped the pool, possibly of a later item."""
    if begun[0].exception() is not None:
        wait(begun)
        failures = [failure for future in begun if (failure := future.exception()) is not None]
        raise min(failures, key=lambda failure: isinstance(failure, StoppedError))
    return begun.popleft().result()
