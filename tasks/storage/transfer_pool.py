"""Several threads at one piece of work: all of it is done, or its first failure is raised and the rest ends.

What comes in: functions and what they shall be called for. What it leaves: the results, in the order of what came in.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from types import TracebackType
from typing import Self, TypeVar

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class StoppedError(Exception):
    """This was given up since something else failed; nobody but the crew sees it."""


class Crew:
    """Some threads for files and as many for the parts of files, for one piece of work; the block waits for them.

    After a failure, and after a Ctrl-C in the thread that waits, nothing more begins, and what is under way ends when
    it next asks whether to `go_on`.
    """

    def __init__(self, threads: int = 4) -> None:
        self.threads = threads
        self._files = ThreadPoolExecutor(threads)  # which wait for their parts: in one pool they would wait for ever
        self._parts = ThreadPoolExecutor(threads)
        self._stop = threading.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if kind is not None:
            self._stop.set()
        self._files.shutdown()
        self._parts.shutdown()

    def go_on(self) -> None:
        """Raise StoppedError if something else has failed."""
        if self._stop.is_set():
            raise StoppedError

    def each_file(self, function: Callable[[_Item], _Result], items: Iterable[_Item]) -> list[_Result]:
        """Call `function`, which may make use of `each_part` and `parts_in_order`, for every item."""
        return self._each(self._files, function, items)

    def each_part(self, function: Callable[[_Item], _Result], items: Iterable[_Item]) -> list[_Result]:
        """Call `function` for every item."""
        return self._each(self._parts, function, items)

    def parts_in_order(
        self, function: Callable[[_Item], _Result], items: Iterable[_Item], *, ahead: int
    ) -> Iterator[_Result]:
        """Call `function` for every item; no more than `ahead` results are there at a time."""
        begun: deque[Future[_Result]] = deque()
        try:
            for item in items:
                begun.append(self._parts.submit(self._call, function, item))
                if len(begun) == ahead:
                    yield _result(begun)
            while begun:
                yield _result(begun)
        except BaseException:
            self._stop.set()
            wait(begun)
            raise

    def _each(
        self, pool: ThreadPoolExecutor, function: Callable[[_Item], _Result], items: Iterable[_Item]
    ) -> list[_Result]:
        futures = [pool.submit(self._call, function, item) for item in items]
        try:
            wait(futures)
        except BaseException:
            self._stop.set()
            raise
        _raise_first(futures)
        return [future.result() for future in futures]

    def _call(self, function: Callable[[_Item], _Result], item: _Item) -> _Result:
        self.go_on()
        try:
            return function(item)
        except BaseException:
            self._stop.set()
            raise


def _result(begun: deque[Future[_Result]]) -> _Result:
    """The result of the first; if it failed, the cause, which may be the failure of a later one."""
    if begun[0].exception() is not None:
        wait(begun)
        _raise_first(begun)
    return begun.popleft().result()


def _raise_first(futures: Sequence[Future[_Result]]) -> None:
    """Raise a failure if there is one: the cause, not one of those that were given up for it."""
    failures = [failure for future in futures if (failure := future.exception()) is not None]
    for failure in sorted(failures, key=lambda failure: isinstance(failure, StoppedError)):
        raise failure
