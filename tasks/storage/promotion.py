"""Moves an alias to a complete version, or back to the one before, also while another process prunes.

Prune deletes the manifest, then reads the aliases, then deletes the files; a promotion moves the alias, then reads the
manifest. Whichever is later sees the other.
"""

from collections.abc import Mapping
from typing import Any

from tasks.errors import InputError, UnavailableError
from tasks.storage.aliases import Alias, delete_alias, move_alias, roll_back_alias
from tasks.storage.fetch import read_manifest
from tasks.storage.manifest import Manifest
from tasks.storage.names import MANIFEST
from tasks.storage.store import Store
from tasks.storage.verify import check_present


def promote(
    store: Store, manifest: Manifest, alias: str, meta: Mapping[str, Any] | None = None, *, check: bool = True
) -> Alias:
    """Move `alias` to the version of `manifest`; with `check` the sizes of its files are checked first.

    Raises:
        InputError: the version is not complete.
        UnavailableError: another publisher moves the alias, or the version was just pruned.
    """
    name, version = manifest.name, manifest.version
    if check:
        check_present(store, manifest)
    moved = move_alias(store, name, alias, version, meta)
    with store.explain_errors():
        exists = store.read(store.key(name, "versions", version, MANIFEST)) is not None
    if not exists:
        if moved.before is None:
            delete_alias(store, name, alias)
        else:
            roll_back_alias(store, name, alias, lambda version: True)
        raise UnavailableError(f"the version {version[:12]} of {name} was just pruned: publish it again")
    return moved


def roll_back(store: Store, name: str, alias: str) -> Alias:
    """Move `alias` back to the version that it named before; called again, one further back.

    Raises:
        InputError: there is no such alias, it has named no other version, or that version is no longer complete.
        UnavailableError: others move the alias at the same time.
    """
    return roll_back_alias(store, name, alias, lambda version: _is_complete(store, name, version))


def _is_complete(store: Store, name: str, version: str) -> bool:
    try:
        check_present(store, read_manifest(store, name, version))
    except InputError:
        return False
    return True
