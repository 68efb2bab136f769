"""Lists folders, objects, versions and releases in a store.

A listing may be outdated, so reading a release never depends on one.
"""

import re
from datetime import UTC, datetime

from tasks.errors import InputError
from tasks.storage.names import check_name, is_version
from tasks.storage.store import Store

_ABBREVIATED = re.compile(r"[0-9a-f]{4,63}")


def list_folders(store: Store, *parts: str) -> list[str]:
    """The names of the folders directly below `parts`, sorted; raises the errors of botocore.

    Files are not listed: the embedded server would read each of them to compute its ETag.
    """
    prefix = store.key(*parts, "")
    pages = store.client.get_paginator("list_objects_v2").paginate(Bucket=store.bucket, Prefix=prefix, Delimiter="/")
    found = [one["Prefix"] for page in pages for one in page.get("CommonPrefixes", [])]
    return sorted(one.removeprefix(prefix).rstrip("/") for one in found)


def list_objects(store: Store, *parts: str) -> list[tuple[str, datetime]]:
    """Key and time of every object below `parts`; raises the errors of botocore."""
    pages = store.client.get_paginator("list_objects_v2").paginate(Bucket=store.bucket, Prefix=store.key(*parts, ""))
    return [(item["Key"], item["LastModified"]) for page in pages for item in page.get("Contents", [])]


def newest(store: Store, *parts: str) -> datetime:
    """When the last object below `parts` was written; now where there is none."""
    return max((written for _, written in list_objects(store, *parts)), default=datetime.now(UTC))


def delete_all(store: Store, *parts: str) -> None:
    """Delete every object below `parts`, in no particular order."""
    for key, _ in list_objects(store, *parts):
        store.client.delete_object(Bucket=store.bucket, Key=key)


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
