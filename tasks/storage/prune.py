"""Prune: delete old versions, and never one that somebody may want.

What comes in: an open store, a name and how many of the newest versions stay. What it leaves: those; those that an
alias names or that its rollback would go back to; and everything that is younger than 24 hours by the store's own
clock, so that nothing goes that is just being published. What a publisher left unfinished goes once it is as old, and
so do the copies of stage folders that machines shared for a run: without them it is only made again.

A version goes manifest first, so that it is never half there. Then the aliases are read once more: where one names it
by now, the manifest is put back.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from tasks.errors import UnavailableError
from tasks.storage.aliases import Alias, list_aliases
from tasks.storage.folder_copies import shared_folders
from tasks.storage.listing import delete_all, newest
from tasks.storage.names import MANIFEST
from tasks.storage.store import Store
from tasks.storage.survey import Survey, Version, survey

AGE_H = 24
"""Hours that a version, and an upload, is safe for."""


@dataclass(frozen=True)
class Pruned:
    """What went, or would go: complete versions and leftovers of publications that did not end."""

    versions: tuple[Version, ...]
    leftovers: tuple[str, ...]
    stages: tuple[str, ...]
    """Copies of stage folders of any release at the destination: `tokens/<key>`."""
    kept: int


def prune(store: Store, name: str, keep: int, *, dry_run: bool) -> Pruned:
    """Delete all versions of `name` but the newest `keep` and those that are protected; with `dry_run` nothing.

    Raises:
        InputError: the store refuses.
        UnavailableError: the store does not answer, or an alias came to name a version at this moment.
    """
    found = survey(store, name)
    with store.explained():
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
    """The time by the store's clock, which is that of its objects."""
    answer = store.client.list_objects_v2(Bucket=store.bucket, Prefix=store.key("probes", ""), MaxKeys=1)
    date = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
    return parsedate_to_datetime(date) if date else datetime.now(UTC)


def _unprotected(found: Survey, keep: int) -> list[Version]:
    wanted = {version for alias in found.aliases.values() for version in _wanted(alias)}
    return [one for one in found.versions[keep:] if one.version not in wanted]


def _wanted(alias: Alias) -> Iterator[str]:
    yield alias.version
    if alias.before is not None:
        yield alias.before.version


def _delete_version(store: Store, name: str, version: str) -> None:
    key = store.key(name, "versions", version, MANIFEST)
    data = store.read(key)
    store.client.delete_object(Bucket=store.bucket, Key=key)
    if data is not None and any(version in _wanted(alias) for alias in list_aliases(store, name).values()):
        store.write(key, data)
        raise UnavailableError(f"an alias of {name} came to name {version[:12]} at this moment, so it stays: try again")
    delete_all(store, name, "versions", version)
