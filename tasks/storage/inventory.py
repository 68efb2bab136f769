"""Lists what a store holds of a release: its versions, newest first, and its aliases; for display and pruning."""

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
from tasks.storage.listing import version_folders
from tasks.storage.manifest import Manifest
from tasks.storage.names import MANIFEST, check_name
from tasks.storage.store import Store

FACTS = "release.json"
"""The file of a release with its facts (loss, corpus, ...): one JSON object."""
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
class Inventory:
    """Complete versions, newest first; aliases by name; versions that have files but no valid manifest."""

    versions: tuple[Version, ...]
    aliases: Mapping[str, Alias]
    incomplete: tuple[str, ...]


def list_versions(store: Store, name: str) -> Inventory:
    """List every version and alias of `name`.

    Raises:
        InputError: an alias is not valid, or the store refuses.
        UnavailableError: the store does not answer.
    """
    check_name(name)
    aliases = list_aliases(store, name)
    folders = version_folders(store, name)
    with store.explain_errors(), ThreadPoolExecutor(_THREADS) as pool:
        found = list(pool.map(lambda version: _read_or_none(store, name, version, aliases), folders))
    complete = sorted((one for one in found if one is not None), key=lambda one: _order(one, aliases), reverse=True)
    incomplete = tuple(folder for folder, one in zip(folders, found, strict=True) if one is None)
    return Inventory(tuple(complete), aliases, incomplete)


def read_facts(store: Store, manifest: Manifest) -> Mapping[str, Any]:
    """The facts of a version; empty where it has no such file or the file is damaged."""
    stated = manifest.files.get(FACTS)
    data = None if stated is None else store.read(store.key(manifest.name, "versions", manifest.version, FACTS))
    if stated is None or data is None or hashlib.sha256(data).hexdigest() != stated.sha256:
        return {}
    try:
        facts = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return facts if isinstance(facts, dict) else {}


def read_version(store: Store, name: str, version: str) -> Version:
    """Read one version; InputError where it is not complete."""
    with store.explain_errors():
        return _read(store, name, version, list_aliases(store, name))


def _read_or_none(store: Store, name: str, version: str, aliases: Mapping[str, Alias]) -> Version | None:
    try:
        return _read(store, name, version, aliases)
    except InputError:
        return None


def _read(store: Store, name: str, version: str, aliases: Mapping[str, Alias]) -> Version:
    manifest = read_manifest(store, name, version)
    head = store.client.head_object(Bucket=store.bucket, Key=store.key(name, "versions", version, MANIFEST))
    return Version(
        version=version,
        published_at=head["LastModified"].astimezone(UTC).isoformat(timespec="seconds"),
        files=len(manifest.files),
        bytes=manifest.size,
        facts=read_facts(store, manifest),
        aliases=tuple(alias for alias, state in aliases.items() if state.version == version),
    )


def _order(version: Version, aliases: Mapping[str, Alias]) -> tuple[str, int]:
    """By the time of publishing; within a second by the moves of the aliases."""
    states = [move for alias in aliases.values() for move in (*alias.history, alias)]
    moves = [move.seq for move in states if move.version == version.version]
    return version.published_at, max(moves, default=0)
