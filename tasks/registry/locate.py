"""Finds releases in the object store: where a run publishes them, and the version that a person names.

Nothing here imports Prefect: `python flows/release.py` would take two seconds longer.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tasks.parameters import ReleaseParameters
from tasks.settings import place_of, settings

if TYPE_CHECKING:
    from tasks.storage.fetch import Fetched
    from tasks.storage.store import Store

LATEST = "latest"
"""The alias of the newest release."""
CHAMPION = "champion"
"""The alias of the release that a new one has to beat."""


def latest(release: ReleaseParameters) -> str:
    """The reference of the newest release of a name: `data/store/spinneret@latest`."""
    return f"{release.destination.rstrip('/')}/{release.name}@{LATEST}"


@contextmanager
def open_releases(
    release: ReleaseParameters, *, must_exist: bool = False, on_wait: Callable[[str], None] | None = None
) -> Iterator["Store"]:
    """The store at `release.destination` while the block runs; a folder is made unless it `must_exist`.

    `on_wait` is called with a sentence where a folder is in use and has to be waited for.

    Raises:
        InputError: no such folder or bucket, no or wrong credentials.
        UnavailableError: the endpoint does not answer, or the folder is in use.
    """
    from tasks.storage.destination import open_store, parse_destination

    destination = parse_destination(place_of(release.destination))
    with open_store(destination, must_exist=must_exist, tell=on_wait) as store:
        yield store


def fetch_release(reference: str) -> "Fetched":
    """Fetch `FOLDER/name@latest` or `s3://bucket/prefix/name@latest` into the data folder, verified.

    InputError where there is no such release, UnavailableError where the store does not answer.
    """
    with _resolved(reference) as (store, name, version):
        return fetch_version(store, name, version)


def find_version(reference: str) -> str:
    """The version that such a reference names now; errors as of `fetch_release`."""
    with _resolved(reference) as (_, _, version):
        return version


def fetch_version(store: "Store", name: str, version: str) -> "Fetched":
    """Fetch one version from an open store into the data folder, verified; errors as of `fetch_release`."""
    from tasks.storage.fetch import fetch

    return fetch(store, name, version, settings().data / "releases" / version, replace=True)


@contextmanager
def _resolved(reference: str) -> Iterator[tuple["Store", str, str]]:
    """The open store, the name and the version that a reference names."""
    from tasks.storage.destination import parse_reference
    from tasks.storage.fetch import resolve

    found = parse_reference(reference)
    with open_releases(ReleaseParameters(destination=str(found.destination)), must_exist=True) as store:
        yield store, found.name, resolve(store, found.name, found.selector)
