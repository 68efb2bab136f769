"""Aborts unfinished multipart uploads of killed publishers: they are invisible, but the store charges for them."""

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from tasks.errors import InputError
from tasks.storage.failures import error_code, http_status
from tasks.storage.folder_copies import STAGES
from tasks.storage.mirror import CHECKPOINTS
from tasks.storage.prune import now
from tasks.storage.store import Store

if TYPE_CHECKING:
    from mypy_boto3_s3.type_defs import MultipartUploadTypeDef

_UNKNOWN = {405, 501}


@dataclass(frozen=True)
class Upload:
    """One unfinished upload; `started_at` is UTC in ISO 8601."""

    key: str
    upload_id: str
    started_at: str


def abort_stale(store: Store, name: str, older_than_h: float, *, dry_run: bool) -> tuple[Upload, ...]:
    """Abort the unfinished uploads that began `older_than_h` hours ago or earlier; with `dry_run` none.

    Includes those of release `name` and of checkpoints and stage folders at the same destination. Returns the uploads
    that were, or would be, aborted.

    Raises:
        InputError: the store cannot list unfinished uploads, or refuses.
        UnavailableError: the store does not answer.
    """
    with store.explain_errors():
        before = now(store) + timedelta(seconds=1) - timedelta(hours=older_than_h)  # `now` is in whole seconds
        stale = [upload for upload in _unfinished(store, name) if upload["Initiated"] <= before]
        for upload in stale if not dry_run else []:
            _abort(store, upload["Key"], upload["UploadId"])
    return tuple(Upload(one["Key"], one["UploadId"], one["Initiated"].isoformat(timespec="seconds")) for one in stale)


def _unfinished(store: Store, name: str) -> "list[MultipartUploadTypeDef]":
    prefixes = (store.key(name, "versions", ""), store.key(CHECKPOINTS, ""), store.key(STAGES, ""))
    pages = store.client.get_paginator("list_multipart_uploads").paginate(Bucket=store.bucket, Prefix=store.prefix)
    try:
        return [upload for page in pages for upload in page.get("Uploads", []) if upload["Key"].startswith(prefixes)]
    except ClientError as error:
        if error_code(error) == "NoSuchUpload":  # of rclone, if there are none
            return []
        if http_status(error) in _UNKNOWN or error_code(error) == "NotImplemented":
            raise InputError(
                f"{store.location} cannot list unfinished uploads: abort them by a lifecycle rule of the bucket"
            ) from error
        raise


def _abort(store: Store, key: str, upload_id: str) -> None:
    try:
        store.client.abort_multipart_upload(Bucket=store.bucket, Key=key, UploadId=upload_id)
    except ClientError as error:
        if error_code(error) != "NoSuchUpload":  # it ended meanwhile
            raise
