"""What a store holds of a release: its versions, newest first, and its aliases. For people and for pruning.

What comes in: an open store and a name. What it leaves: a Survey. A version states its own facts (loss, corpus, ...) in
the file FACTS, which belongs to it as any other file does; one that is without has none. Reading a release needs
nothing of this: a listing may be late.
"""

import hashlib
import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC
from typing import Any

from tasks.errors import InputError
from tasks.storage.aliases import Alias, list_aliases
from tasks.storage.fetch import read_manifest
from tasks.storage.manifest import Manifest
from tasks.storage.names import MANIFEST, check_name
from tasks.storage.store import Store
from tasks.storage.versions import version_folders

FACTS = "release.json"
"""File of a release: one JSON object with the figures that tell it from others."""
_THREADS = 16


@dataclass(frozen=True)
class Version:
    """One complete version; `published_at` (UTC, ISO 8601) is the time of its manifest by the store's clock."""

    version: str
    published_at: str
    files: int
    bytes: int
    facts: Mapping[str, Any]
    aliases: tuple[str, ...]


@dataclass(frozen=True)
class Survey:
    """Complete versions, newest first; aliases by name; versions that have files but no sound manifest."""

    versions: tuple[Version, ...]
    aliases: Mapping[str, Alias]
    incomplete: tuple[str, ...]


def survey(store: Store, name: str) -> Survey:
    """Look at every version and alias of `name`.

    Raises:
        InputError: an alias is not what it may be, or the store refuses.
        UnavailableError: the store does not answer.
    """
    check_name(name)
    aliases = list_aliases(store, name)
    folders = version_folders(store, name)
    with store.explained(), ThreadPoolExecutor(_THREADS) as pool:
        found = list(pool.map(lambda version: _look_or_none(store, name, version, aliases), folders))
    complete = sorted((one for one in found if one is not None), key=lambda one: _order(one, aliases), reverse=True)
    incomplete = tuple(folder for folder, one in zip(folders, found, strict=True) if one is None)
    return Survey(tuple(complete), aliases, incomplete)


def read_facts(store: Store, manifest: Manifest) -> Mapping[str, Any]:
    """What a version states of itself; nothing where it has no such file or the file is damaged."""
    stated = manifest.files.get(FACTS)
    data = None if stated is None else store.read(store.key(manifest.name, "versions", manifest.version, FACTS))
    if stated is None or data is None or hashlib.sha256(data).hexdigest() != stated.sha256:
        return {}
    try:
        facts = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return facts if isinstance(facts, dict) else {}


def look(store: Store, name: str, version: str) -> Version:
    """One version; InputError where it is not complete."""
    with store.explained():
        return _look(store, name, version, list_aliases(store, name))


def _look_or_none(store: Store, name: str, version: str, aliases: Mapping[str, Alias]) -> Version | None:
    try:
        return _look(store, name, version, aliases)
    except InputError:
        return None


def _look(store: Store, name: str, version: str, aliases: Mapping[str, Alias]) -> Version:
    manifest = read_manifest(store, name, version)
    head = store.client.head_object(Bucket=store.bucket, Key=store.key(name, "versions", version, MANIFEST))
    return Version(
        version=version,
        published_at=head["LastModified"].astimezone(UTC).isoformat(timespec="seconds"),
        files=len(manifest.files),
        bytes=manifest.size,
        facts=read_facts(store, manifest),
        aliases=tuple(alias for alias, said in aliases.items() if said.version == version),
    )


def _order(version: Version, aliases: Mapping[str, Alias]) -> tuple[str, int]:
    """By the time of publishing; within a second by the moves of the aliases."""
    moves = [move.seq for said in aliases.values() for move in (*said.history, said) if move.version == version.version]
    return version.published_at, max(moves, default=0)
