"""Transfer progress: a bar with bytes and speed where a person looks on, nothing elsewhere."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm


@contextmanager
def transfer_bar(what: str) -> Iterator[Callable[[int, int], None]]:
    """A function to tell of bytes done and bytes in all; it may be called by any thread, one call at a time."""
    with tqdm(desc=what, unit="B", unit_scale=True, unit_divisor=1024, disable=None, leave=False) as bar:

        def tell(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield tell
