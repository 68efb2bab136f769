"""Locates releases: opens the store of a destination, resolves a reference to a version, and fetches it.

Prefect is not imported: `python flows/release.py` would take two seconds longer.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tasks.parameters import ReleaseParameters
from tasks.settings import resolve_destination, settings

if TYPE_CHECKING:
    from tasks.storage.fetch import Fetched
    from tasks.storage.store import Store

LATEST = "latest"
"""The alias of the newest release."""
CHAMPION = "champion"
"""The alias of the release that a new one has to beat."""


def latest(release: ReleaseParameters) -> str:
    """The reference of the newest release: `data/store/spinneret@latest`."""
    return release_uri(release, LATEST)


def release_uri(release: ReleaseParameters, selector: str) -> str:
    """The reference of a release at an alias or version: `data/store/spinneret@champion`."""
    return f"{release.destination.rstrip('/')}/{release.name}@{selector}"


@contextmanager
def open_releases(
    release: ReleaseParameters, *, must_exist: bool = False, on_wait: Callable[[str], None] | None = None
) -> Iterator["Store"]:
    """The store at `release.destination` while the block runs; a folder is created unless it `must_exist`.

    `on_wait` is called with a sentence where a folder is in use and has to be waited for.

    Raises:
        InputError: no such folder or bucket, no or wrong credentials.
        UnavailableError: the endpoint does not answer, or the folder is in use.
    """
    from tasks.storage.destination import open_store, parse_destination

    destination = parse_destination(resolve_destination(release.destination))
    with open_store(destination, must_exist=must_exist, on_wait=on_wait) as store:
        yield store


def fetch_release(reference: str) -> "Fetched":
    """Fetch `FOLDER/name@latest` or `s3://bucket/prefix/name@latest` into the data folder, verified.

    Raises:
        InputError: there is no such release, or it is damaged.
        UnavailableError: the store does not answer.
    """
    with _resolve(reference) as (store, name, version):
        return fetch_version(store, name, version)


def find_version(reference: str) -> str:
    """The version that a reference names now; raises as `fetch_release`."""
    with _resolve(reference) as (_, _, version):
        return version


def fetch_version(store: "Store", name: str, version: str) -> "Fetched":
    """Fetch one version from an open store into the data folder, verified; raises as `fetch_release`."""
    from tasks.storage.fetch import fetch

    return fetch(store, name, version, settings().data / "releases" / version, replace=True)


@contextmanager
def _resolve(reference: str) -> Iterator[tuple["Store", str, str]]:
    """The open store, the name and the version of a reference."""
    from tasks.storage.destination import parse_reference
    from tasks.storage.fetch import resolve

    parsed = parse_reference(reference)
    with open_releases(ReleaseParameters(destination=str(parsed.destination)), must_exist=True) as store:
        yield store, parsed.name, resolve(store, parsed.name, parsed.selector)
