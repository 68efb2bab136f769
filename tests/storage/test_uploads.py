"""Unfinished uploads of a killed publisher."""

from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tasks.errors import InputError
from tasks.storage.embedded_server import Endpoint
from tasks.storage.store import Store
from tasks.storage.uploads import abort_stale
from tests.storage.conftest import connected


@pytest.fixture
def any_store(each_endpoint: Endpoint) -> Iterator[Store]:
    with connected(each_endpoint) as store:
        yield store


def start(store: Store, *parts: str) -> str:
    key = store.key(*parts)
    upload = store.client.create_multipart_upload(Bucket=store.bucket, Key=key)["UploadId"]
    store.client.upload_part(Bucket=store.bucket, Key=key, UploadId=upload, PartNumber=1, Body=b"half")
    return key


def unfinished(store: Store) -> list[str]:
    uploads = store.client.list_multipart_uploads(Bucket=store.bucket, Prefix=store.prefix).get("Uploads", [])
    return sorted(upload["Key"] for upload in uploads)


def test_unfinished_uploads_of_one_release_are_aborted(any_store: Store) -> None:
    mine = start(any_store, "jokes", "versions", "1" * 64, "model.safetensors")
    others = start(any_store, "laughs", "versions", "1" * 64, "model.safetensors")
    assert [upload.key for upload in abort_stale(any_store, "jokes", 0, dry_run=True)] == [mine]
    assert unfinished(any_store) == [mine, others]
    assert [upload.key for upload in abort_stale(any_store, "jokes", 0, dry_run=False)] == [mine]
    assert unfinished(any_store) == [others]
    assert abort_stale(any_store, "jokes", 0, dry_run=False) == ()


def test_unfinished_uploads_of_checkpoints_are_aborted_too(any_store: Store) -> None:
    mine = start(any_store, "checkpoints", "1" * 64, "step-0000000001", "optimizer.pt")
    assert [upload.key for upload in abort_stale(any_store, "jokes", 0, dry_run=False)] == [mine]


def test_a_young_upload_is_kept(any_store: Store) -> None:
    mine = start(any_store, "jokes", "versions", "1" * 64, "model.safetensors")
    assert abort_stale(any_store, "jokes", 24, dry_run=False) == ()
    assert unfinished(any_store) == [mine]


def test_an_upload_that_ends_meanwhile_is_not_an_error(store: Store) -> None:
    key = start(store, "jokes", "versions", "1" * 64, "model.safetensors")
    ended: list[bool] = []

    def end(params: dict[str, Any], **_: object) -> None:
        if not ended:
            ended.append(True)
            store.client.abort_multipart_upload(
                Bucket=store.bucket, Key=key, UploadId=params["query_string"]["uploadId"]
            )

    store.client.meta.events.register("before-call.s3.AbortMultipartUpload", end)
    assert len(abort_stale(store, "jokes", 0, dry_run=False)) == 1
    assert ended


def test_a_store_that_cannot_list_uploads_is_an_error(store: Store) -> None:
    def refuse(**_: object) -> None:
        error: Any = {"Error": {"Code": "NotImplemented"}, "ResponseMetadata": {"HTTPStatusCode": 501}}
        raise ClientError(error, "ListMultipartUploads")

    store.client.meta.events.register("before-call.s3.ListMultipartUploads", refuse)
    with pytest.raises(InputError, match="cannot list unfinished uploads: abort them by a lifecycle rule"):
        abort_stale(store, "jokes", 0, dry_run=False)
