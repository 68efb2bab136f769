"""What lies below a place in a store. A listing may be late, so nothing that reads a release depends on one.

What comes in: an open store and the parts of a key. What it leaves: folders, or objects with the time of their writing
by the store's clock; errors come as botocore has them.
"""

from datetime import UTC, datetime

from tasks.storage.store import Store


def folders(store: Store, *parts: str) -> list[str]:
    """The names of the folders right below `parts`, in alphabetic order.

    Files are not listed: a server over a folder reads every listed file to tell its ETag.
    """
    prefix = store.key(*parts, "")
    pages = store.client.get_paginator("list_objects_v2").paginate(Bucket=store.bucket, Prefix=prefix, Delimiter="/")
    found = [one["Prefix"] for page in pages for one in page.get("CommonPrefixes", [])]
    return sorted(one.removeprefix(prefix).rstrip("/") for one in found)


def objects(store: Store, *parts: str) -> list[tuple[str, datetime]]:
    """Key and time of every object below `parts`."""
    pages = store.client.get_paginator("list_objects_v2").paginate(Bucket=store.bucket, Prefix=store.key(*parts, ""))
    return [(item["Key"], item["LastModified"]) for page in pages for item in page.get("Contents", [])]


def newest(store: Store, *parts: str) -> datetime:
    """When the last object below `parts` was written; now where there is none."""
    return max((written for _, written in objects(store, *parts)), default=datetime.now(UTC))


def delete_all(store: Store, *parts: str) -> None:
    """Delete every object below `parts`, in no particular order."""
    for key, _ in objects(store, *parts):
        store.client.delete_object(Bucket=store.bucket, Key=key)
