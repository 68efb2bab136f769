"""Single objects that somebody else put into a bucket: a corpus, for instance.

What comes in: `s3://bucket/key`, and boto3's own credentials and endpoint. What it leaves: the object's state, by which
a change is seen without a download, and the object as a file.
"""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from tasks.errors import InputError, UnavailableError
from tasks.storage.client import connect_to_remote
from tasks.storage.failures import explained, is_missing
from tasks.storage.names import check_bucket

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_SCHEME = "s3://"


@dataclass(frozen=True)
class ObjectState:
    """What a store says of an object: each write of other bytes gives it another state."""

    etag: str
    size: int


@dataclass(frozen=True)
class RemoteObject:
    """An object with an open client."""

    client: "S3Client"
    bucket: str
    key: str

    def __str__(self) -> str:
        return f"{_SCHEME}{self.bucket}/{self.key}"

    def state(self) -> ObjectState:
        """What it is now; InputError where there is none."""
        with self._explained():
            try:
                head = self.client.head_object(Bucket=self.bucket, Key=self.key)
            except ClientError as error:
                if is_missing(error):
                    raise InputError(f"{self} is not there; correct the name, or put the object there") from error
                raise
        return ObjectState(head["ETag"].strip('"'), head["ContentLength"])

    def download(self, file: Path, wanted: ObjectState, on_bytes: Callable[[int], None]) -> None:
        """Write it to `file`, in parts and by several threads where it is large.

        Raises:
            UnavailableError: it is another than `wanted` by now, or the store does not answer.
            OSError: the disk is full.
        """
        with self._explained():
            self.client.download_file(self.bucket, self.key, str(file), Callback=on_bytes)
        if self.state() != wanted or file.stat().st_size != wanted.size:
            raise UnavailableError(f"{self} was replaced while it was fetched: try again")

    def _explained(self) -> contextlib.AbstractContextManager[None]:
        return explained(str(self), self.client.meta.endpoint_url)


@contextlib.contextmanager
def open_object(uri: str) -> Iterator[RemoteObject]:
    """The object that `s3://bucket/key` names, whether it is there or not.

    Raises:
        InputError: no such name or bucket, no or wrong credentials, plain http to another machine.
        UnavailableError: the endpoint does not answer (known within 15 seconds).
    """
    bucket, _, key = uri.removeprefix(_SCHEME).partition("/")
    if not uri.startswith(_SCHEME) or not key or key.endswith("/"):
        raise InputError(f"{uri!r} names no object: write s3://bucket/folder/file.txt")
    check_bucket(bucket)
    with contextlib.closing(connect_to_remote(bucket, f"{key}.spinneret-look")) as client:
        yield RemoteObject(client, bucket, key)
