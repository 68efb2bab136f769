"""Let an alias name a version that is really there, and go back to the one before.

What comes in: an open store, a name, an alias, a version. What it leaves: the alias on a complete version, whatever a
`prune` does at the same time: prune deletes the manifest, then looks at the aliases, then deletes the files; here the
alias moves, then the manifest is looked at. Whichever is later sees the other.
"""

from collections.abc import Mapping
from typing import Any

from tasks.errors import InputError, UnavailableError
from tasks.storage.aliases import Alias, delete_alias, move_alias, roll_back
from tasks.storage.fetch import read_manifest
from tasks.storage.manifest import Manifest
from tasks.storage.names import MANIFEST
from tasks.storage.store import Store
from tasks.storage.verify import check_present


def promote(
    store: Store, manifest: Manifest, alias: str, meta: Mapping[str, Any] | None = None, *, check: bool = True
) -> Alias:
    """Let `alias` name the version of `manifest`; with `check` its files are looked at first, but not read.

    Raises:
        InputError: the version is not complete.
        UnavailableError: another publisher moves the alias, or the version was pruned at this moment.
    """
    name, version = manifest.name, manifest.version
    if check:
        check_present(store, manifest)
    moved = move_alias(store, name, alias, version, meta)
    with store.explained():
        there = store.read(store.key(name, "versions", version, MANIFEST)) is not None
    if not there:
        _take_back(store, name, alias, moved)
        raise UnavailableError(f"the version {version[:12]} of {name} was pruned at this moment: publish it again")
    return moved


def go_back(store: Store, name: str, alias: str) -> Alias:
    """Let `alias` name the version that it named before; called again, the one before that.

    Raises:
        InputError: there is no such alias, it has named nothing before, or that version is not complete any more.
        UnavailableError: others move the alias at the same time.
    """
    return roll_back(store, name, alias, lambda version: _is_complete(store, name, version))


def _is_complete(store: Store, name: str, version: str) -> bool:
    try:
        check_present(store, read_manifest(store, name, version))
    except InputError:
        return False
    return True


def _take_back(store: Store, name: str, alias: str, moved: Alias) -> None:
    if moved.before is None:
        delete_alias(store, name, alias)
    else:
        roll_back(store, name, alias, lambda version: True)
