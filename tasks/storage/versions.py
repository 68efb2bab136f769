"""Which versions there are, and which one an abbreviation means.

What comes in: an open store and a release name. What it leaves: the versions that have a folder, complete or not. Files
are not listed: a server over a folder reads every listed file to tell its ETag.
"""

import re

from tasks.errors import InputError
from tasks.storage.listing import folders
from tasks.storage.names import check_name, is_version
from tasks.storage.store import Store

_ABBREVIATED = re.compile(r"[0-9a-f]{4,63}")


def version_folders(store: Store, name: str) -> list[str]:
    """The versions of `name` that have a folder, in alphabetic order; one without a manifest is not complete."""
    with store.explained():
        return [found for found in folders(store, check_name(name), "versions") if is_version(found)]


def release_names(store: Store) -> list[str]:
    """The names that releases are published under in the store."""
    with store.explained():
        return [name for name in folders(store) if folders(store, name, "versions")]


def find_version(store: Store, name: str, abbreviated: str) -> str | None:
    """The version that begins with `abbreviated` (four digits or more), None if there is none or it is no such thing.

    Raises:
        InputError: several versions begin so.
    """
    if not _ABBREVIATED.fullmatch(abbreviated):
        return None
    found = [version for version in version_folders(store, name) if version.startswith(abbreviated)]
    if len(found) > 1:
        shown = ", ".join(version[: len(abbreviated) + 6] for version in found[:5])
        raise InputError(f"{len(found)} versions of {name} begin with {abbreviated} ({shown}): write more digits")
    return found[0] if found else None
