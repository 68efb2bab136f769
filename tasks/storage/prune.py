"""Deletes old versions of a release, never one that may still be needed.

The newest `keep` versions stay, and those that an alias names or that a rollback would restore, and everything younger
than 24 hours by the store's clock, because its publication may still be running. Incomplete publications and shared
copies of stage folders are deleted at the same age.

The manifest of a version is deleted first, so an interrupted deletion leaves an incomplete version. Then the aliases
are read again: if one names the version by now, the manifest is put back.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from tasks.errors import UnavailableError
from tasks.storage.aliases import Alias, list_aliases
from tasks.storage.folder_copies import shared_folders
from tasks.storage.inventory import Inventory, Version, list_versions
from tasks.storage.listing import delete_all, newest
from tasks.storage.names import MANIFEST
from tasks.storage.store import Store

AGE_H = 24
"""Hours for which a version is never deleted."""


@dataclass(frozen=True)
class Pruned:
    """What was or would be deleted: complete versions, and leftovers of interrupted publications."""

    versions: tuple[Version, ...]
    leftovers: tuple[str, ...]
    stages: tuple[str, ...]
    """Copies of stage folders of any release at the destination: `tokens/<key>`."""
    kept: int


def prune(store: Store, name: str, keep: int, *, dry_run: bool) -> Pruned:
    """Delete all versions of `name` except the newest `keep` and the protected ones; with `dry_run` nothing.

    Raises:
        InputError: the store refuses.
        UnavailableError: the store does not answer, or an alias was just moved to a version.
    """
    found = list_versions(store, name)
    with store.explain_errors():
        before = now(store) - timedelta(hours=AGE_H)
        old = [one for one in _unprotected(found, keep) if datetime.fromisoformat(one.published_at) < before]
        leftovers = [one for one in found.incomplete if newest(store, name, "versions", one) < before]
        stages = [one for one in shared_folders(store) if newest(store, *one.parts) < before]
        if not dry_run:
            for shared in stages:
                shared.delete()
            for one in old:
                _delete_version(store, name, one.version)
            for leftover in leftovers:
                delete_all(store, name, "versions", leftover)
    named = tuple("/".join(shared.parts[1:]) for shared in stages)
    return Pruned(tuple(old), tuple(leftovers), named, len(found.versions) - len(old))


def now(store: Store) -> datetime:
    """The time by the store's clock, as of its objects."""
    answer = store.client.list_objects_v2(Bucket=store.bucket, Prefix=store.key("probes", ""), MaxKeys=1)
    date = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
    return parsedate_to_datetime(date) if date else datetime.now(UTC)


def _unprotected(found: Inventory, keep: int) -> list[Version]:
    protected = {version for alias in found.aliases.values() for version in _protected(alias)}
    return [one for one in found.versions[keep:] if one.version not in protected]


def _protected(alias: Alias) -> Iterator[str]:
    yield alias.version
    if alias.before is not None:
        yield alias.before.version


def _delete_version(store: Store, name: str, version: str) -> None:
    key = store.key(name, "versions", version, MANIFEST)
    data = store.read(key)
    store.client.delete_object(Bucket=store.bucket, Key=key)
    if data is not None and any(version in _protected(alias) for alias in list_aliases(store, name).values()):
        store.write(key, data)
        raise UnavailableError(f"an alias of {name} was just moved to {version[:12]}, so it stays: try again")
    delete_all(store, name, "versions", version)
