"""Finds out whether a store has conditional PUTs, by trying them once per process on an object made for it.

Some stores refuse as they should (412), some do not know `If-None-Match: *` and `If-Match` (400, 501), and some ignore
them and overwrite.
"""

import contextlib
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from tasks.storage.failures import http_status

if TYPE_CHECKING:
    from tasks.storage.store import Store

EtagFormat = Callable[[str], str]
"""Formats an ETag for `If-Match`."""

_ETAG_FORMATS: tuple[EtagFormat, ...] = (str, lambda etag: etag.strip('"'))
"""With quotes, as it was read; Ceph needs it without."""
_UNUSED_ETAG = '"00000000000000000000000000000000"'
_DONE = 200
_REFUSED = 412
_UNKNOWN = {400, 405, 501}

_found: dict[tuple[str, str], EtagFormat | None] = {}
"""Endpoint and bucket → format."""


def find_etag_format(store: "Store", name: str) -> EtagFormat | None:
    """The format of an ETag in `If-Match`; None where the store has no conditional PUT.

    The first call in a process tests the store with an object below the release `name`, and removes it.
    """
    bucket = (store.client.meta.endpoint_url, store.bucket)
    if bucket not in _found:
        _found[bucket] = _try(store, store.key(name, "probes", f"{uuid.uuid4().hex}.json"))
    return _found[bucket]


def _try(store: "Store", key: str) -> EtagFormat | None:
    try:
        first, second = _put(store, key, IfNoneMatch="*"), _put(store, key, IfNoneMatch="*")
        # The first is refused if it was sent twice because its response was lost.
        if first not in (_DONE, _REFUSED) or second != _REFUSED:
            return None
        return next((etag_format for etag_format in _ETAG_FORMATS if _replaces(store, key, etag_format)), None)
    finally:
        with contextlib.suppress(ClientError, BotoCoreError):  # without the permission a few bytes stay
            store.client.delete_object(Bucket=store.bucket, Key=key)


def _replaces(store: "Store", key: str, etag_format: EtagFormat) -> bool:
    """Whether the right ETag is accepted and a wrong one is refused."""
    etag = store.client.head_object(Bucket=store.bucket, Key=key)["ETag"]
    right = _put(store, key, IfMatch=etag_format(etag)) == _DONE
    return right and _put(store, key, IfMatch=etag_format(_UNUSED_ETAG)) == _REFUSED


def _put(store: "Store", key: str, **condition: Any) -> int:
    """The HTTP status; errors other than a refusal or an unknown header are raised."""
    try:
        store.client.put_object(Bucket=store.bucket, Key=key, Body=b"{}", **condition)
    except ClientError as error:
        if (status := http_status(error)) in {_REFUSED, *_UNKNOWN}:
            return status
        raise
    return _DONE
