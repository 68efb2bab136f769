"""The invariant of all fault tests: an alias names a whole version, and the next publication succeeds."""

import contextlib
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

from tasks.storage.aliases import read_alias
from tasks.storage.fetch import fetch
from tasks.storage.publish import publish
from tasks.storage.store import Store
from tests.storage.conftest import Line


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def publish_and_change(store: Store, release: Path, *, more: int = 0) -> str:
    """Publish a first version, make `release` another one (with `more` bytes), and return the first."""
    first = publish(store, release, "jokes").version
    (release / "config.json").write_text('{"layers": 3}')
    data = (release / "model.safetensors").read_bytes()
    (release / "model.safetensors").write_bytes(data[1:] + bytes(more))
    return first


def assert_the_next_try_finishes(store: Store, release: Path, first: str, target: Path) -> None:
    """Publish over `first`: exactly the bytes are fetched, and the version before is there as well."""
    second = publish(store, release, "jokes").version
    assert fetch(store, "jokes", "latest", target).version == second != first
    assert contents(target) == contents(release)
    alias = read_alias(store, "jokes", "latest")
    assert alias is not None
    assert (alias.previous, alias.seq) == (first, 2)
    assert fetch(store, "jokes", first, target.with_name("first")).version == first


def version_that_is_whole(store: Store, name: str = "jokes", alias: str = "latest") -> str | None:
    """The version that the alias names, after each of its bytes was fetched and verified; None without an alias."""
    found = read_alias(store, name, alias)
    if found is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        assert fetch(store, name, found.version, Path(folder) / "target").version == found.version
    return found.version


@contextlib.contextmanager
def watched(line: Line) -> Iterator[None]:
    """Read the alias again and again while the block runs: each time it must name a whole version."""
    checks, failures, end = list[str | None](), list[Exception](), threading.Event()

    def check() -> None:
        while not failures and (not end.wait(0.05) or len(checks) < 3):
            try:
                checks.append(version_that_is_whole(line.watcher))
            except Exception as failure:  # noqa: BLE001 asserted below
                failures.append(failure)

    thread = threading.Thread(target=check, daemon=True)
    thread.start()
    try:
        yield
    finally:
        end.set()
        thread.join(60)
    assert not failures, failures
    assert len(checks) >= 3
    assert None not in checks
