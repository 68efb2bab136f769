"""Conditional PUTs: whether a store has them, found out by trying.

What comes in: an open store. What it leaves: what it does with `If-None-Match: *` (write where nothing is) and with
`If-Match` (write only over what was read). Some stores refuse as they should (412), some do not know the headers (400,
501), and some ignore them and overwrite. Nothing but trying tells, so it is tried on an object made for it, which is
removed again; the answer holds for the process.
"""

import contextlib
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from tasks.storage.failures import http_status

if TYPE_CHECKING:
    from tasks.storage.store import Store

Spelling = Callable[[str], str]
"""How an ETag must be written in `If-Match`."""

_SPELLINGS: tuple[Spelling, ...] = (str, lambda etag: etag.strip('"'))
"""As it was read, with its quotes; Ceph wants it without."""
_NO_OBJECT_HAS = '"00000000000000000000000000000000"'
_DONE = 200
_REFUSED = 412
_UNKNOWN = {400, 405, 501}


_found: dict[tuple[str, str], Spelling | None] = {}
"""Endpoint and bucket → what was found."""


def find_spelling(store: "Store", name: str) -> Spelling | None:
    """How to write an ETag for a PUT that replaces it and nothing else; None where the store has no such PUT.

    What is tried lies below the release `name` for a moment.
    """
    place = (store.client.meta.endpoint_url, store.bucket)
    if place not in _found:
        _found[place] = _try(store, store.key(name, "probes", f"{uuid.uuid4().hex}.json"))
    return _found[place]


def _try(store: "Store", key: str) -> Spelling | None:
    try:
        first, second = _put(store, key, IfNoneMatch="*"), _put(store, key, IfNoneMatch="*")
        # A first one that is refused was sent twice: the store had it already and its acknowledgement got lost.
        if first not in (_DONE, _REFUSED) or second != _REFUSED:
            return None
        return next((spelling for spelling in _SPELLINGS if _replaces(store, key, spelling)), None)
    finally:
        with contextlib.suppress(ClientError, BotoCoreError):  # who may not delete leaves a few bytes
            store.client.delete_object(Bucket=store.bucket, Key=key)


def _replaces(store: "Store", key: str, spelling: Spelling) -> bool:
    """Whether the right ETag is let through and a wrong one is not."""
    etag = store.client.head_object(Bucket=store.bucket, Key=key)["ETag"]
    right = _put(store, key, IfMatch=spelling(etag)) == _DONE
    return right and _put(store, key, IfMatch=spelling(_NO_OBJECT_HAS)) == _REFUSED


def _put(store: "Store", key: str, **condition: Any) -> int:
    """The status of the answer; what is neither done nor a refusal nor ignorance is raised."""
    try:
        store.client.put_object(Bucket=store.bucket, Key=key, Body=b"{}", **condition)
    except ClientError as error:
        if (status := http_status(error)) in {_REFUSED, *_UNKNOWN}:
            return status
        raise
    return _DONE
