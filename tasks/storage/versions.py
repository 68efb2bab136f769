"""Finds the versions of a release by listing their folders, complete or not."""

import re

from tasks.errors import InputError
from tasks.storage.listing import list_folders
from tasks.storage.names import check_name, is_version
from tasks.storage.store import Store

_ABBREVIATED = re.compile(r"[0-9a-f]{4,63}")


def version_folders(store: Store, name: str) -> list[str]:
    """The versions of `name` that have a folder, sorted; one without a manifest is incomplete."""
    with store.explain_errors():
        return [found for found in list_folders(store, check_name(name), "versions") if is_version(found)]


def release_names(store: Store) -> list[str]:
    """The names of the releases in the store."""
    with store.explain_errors():
        return [name for name in list_folders(store) if list_folders(store, name, "versions")]


def find_version(store: Store, name: str, abbreviated: str) -> str | None:
    """The version that begins with `abbreviated` (four digits or more), None if there is none or it cannot be one.

    Raises:
        InputError: several versions begin with it.
    """
    if not _ABBREVIATED.fullmatch(abbreviated):
        return None
    found = [version for version in version_folders(store, name) if version.startswith(abbreviated)]
    if len(found) > 1:
        shown = ", ".join(version[: len(abbreviated) + 6] for version in found[:5])
        raise InputError(f"{len(found)} versions of {name} begin with {abbreviated} ({shown}): write more digits")
    return found[0] if found else None
