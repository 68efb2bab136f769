"""Lists folders and objects in a store. A listing may be outdated, so reading a release never depends on one.

The functions raise the errors of botocore.
"""

from datetime import UTC, datetime

from tasks.storage.store import Store


def list_folders(store: Store, *parts: str) -> list[str]:
    """The names of the folders directly below `parts`, sorted.

    Files are not listed: the embedded server would read each of them to compute its ETag.
    """
    prefix = store.key(*parts, "")
    pages = store.client.get_paginator("list_objects_v2").paginate(Bucket=store.bucket, Prefix=prefix, Delimiter="/")
    found = [one["Prefix"] for page in pages for one in page.get("CommonPrefixes", [])]
    return sorted(one.removeprefix(prefix).rstrip("/") for one in found)


def list_objects(store: Store, *parts: str) -> list[tuple[str, datetime]]:
    """Key and time of every object below `parts`."""
    pages = store.client.get_paginator("list_objects_v2").paginate(Bucket=store.bucket, Prefix=store.key(*parts, ""))
    return [(item["Key"], item["LastModified"]) for page in pages for item in page.get("Contents", [])]


def newest(store: Store, *parts: str) -> datetime:
    """When the last object below `parts` was written; now where there is none."""
    return max((written for _, written in list_objects(store, *parts)), default=datetime.now(UTC))


def delete_all(store: Store, *parts: str) -> None:
    """Delete every object below `parts`, in no particular order."""
    for key, _ in list_objects(store, *parts):
        store.client.delete_object(Bucket=store.bucket, Key=key)
