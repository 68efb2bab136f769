"""Downloads single objects of the user, such as a corpus in a bucket, and detects changes without a download."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from tasks.errors import InputError, UnavailableError
from tasks.storage.client import connect_to_remote
from tasks.storage.failures import explain_errors, is_missing
from tasks.storage.names import check_bucket

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_SCHEME = "s3://"


@dataclass(frozen=True)
class ObjectState:
    """ETag and size of an object: they change with its content."""

    etag: str
    size: int


@dataclass(frozen=True)
class RemoteObject:
    """An object and the client for it."""

    client: "S3Client"
    bucket: str
    key: str

    def __str__(self) -> str:
        return f"{_SCHEME}{self.bucket}/{self.key}"

    def state(self) -> ObjectState:
        """The current state; InputError where the object does not exist."""
        with self._explained():
            try:
                head = self.client.head_object(Bucket=self.bucket, Key=self.key)
            except ClientError as error:
                if is_missing(error):
                    raise InputError(f"{self} does not exist: correct the name, or upload the object") from error
                raise
        return ObjectState(head["ETag"].strip('"'), head["ContentLength"])

    def download(self, file: Path, wanted: ObjectState, on_bytes: Callable[[int], None]) -> None:
        """Download it to `file`, in parts and by several threads if it is large.

        Raises:
            UnavailableError: its state is no longer `wanted`, or the store does not answer.
            OSError: the disk is full.
        """
        with self._explained():
            self.client.download_file(self.bucket, self.key, str(file), Callback=on_bytes)
        if self.state() != wanted or file.stat().st_size != wanted.size:
            raise UnavailableError(f"{self} was replaced during the download: try again")

    def _explained(self) -> contextlib.AbstractContextManager[None]:
        return explain_errors(str(self), self.client.meta.endpoint_url)


@contextlib.contextmanager
def open_object(uri: str) -> Iterator[RemoteObject]:
    """The object at `s3://bucket/key`, whether it exists or not.

    Raises:
        InputError: no such bucket, not a valid name, no or wrong credentials, plain http to another machine.
        UnavailableError: the endpoint does not answer (known within 15 seconds).
    """
    bucket, _, key = uri.removeprefix(_SCHEME).partition("/")
    if not uri.startswith(_SCHEME) or not key or key.endswith("/"):
        raise InputError(f"{uri!r} is not an object: write s3://bucket/folder/file.txt")
    check_bucket(bucket)
    with contextlib.closing(connect_to_remote(bucket, f"{key}.spinneret-look")) as client:
        yield RemoteObject(client, bucket, key)
