"""The few things that the publish protocol asks of an object store.

What comes in: a client, a bucket and a prefix. What it leaves: objects put, and confirmed by asking for them again; the
bytes or the state of an object, or None where there is none. All of the protocol's calls pass here.
"""

import contextlib
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from boto3.s3.transfer import ProgressCallbackInvoker, TransferConfig, create_transfer_manager
from botocore.exceptions import ClientError, HTTPClientError

from tasks.errors import InputError, UnavailableError
from tasks.storage.failures import error_code, explained, http_status, is_missing
from tasks.storage.manifest import ScannedFile, part_size

if TYPE_CHECKING:
    from botocore.response import StreamingBody
    from mypy_boto3_s3 import S3Client

MAX_DOCUMENT = 16 * 2**20
_BLOCK = 2**20
_THREADS = 4
_NOT_SO = {409, 412}
"""Answers to a conditional PUT: another PUT at the same moment, the condition does not hold."""


@dataclass(frozen=True)
class Store:
    """A bucket and prefix with an open client; `place` is what a person calls it. Use it from one thread at a time."""

    client: "S3Client"
    bucket: str
    prefix: str
    place: str

    @contextlib.contextmanager
    def explained(self) -> Iterator[None]:
        """Errors of the store in the block become one sentence (InputError or UnavailableError)."""
        place = f"s3://{self.bucket}/{self.prefix}".rstrip("/")
        with explained(place, self.client.meta.endpoint_url):
            yield

    def key(self, *parts: str) -> str:
        """The key of `parts` below the prefix."""
        return "/".join([self.prefix, *parts] if self.prefix else parts)

    def read(self, key: str) -> bytes | None:
        """A small object (16 MiB at most), None if there is none."""
        found = self.read_tagged(key)
        return None if found is None else found[0]

    def read_tagged(self, key: str) -> tuple[bytes, str] | None:
        """A small object as `read` gives it, and its ETag; None if there is none."""
        try:
            answer = self.client.get_object(Bucket=self.bucket, Key=key)
        except ClientError as error:
            if is_missing(error):
                return None
            raise
        with contextlib.closing(answer["Body"]) as body:
            data = body.read(MAX_DOCUMENT + 1)
        if len(data) > MAX_DOCUMENT:
            raise InputError(f"s3://{self.bucket}/{key} is larger than {MAX_DOCUMENT:,} bytes: it is no such document")
        return data, answer["ETag"]

    def open(self, key: str, start: int = 0) -> "StreamingBody":
        """The bytes of an object from offset `start` as a stream; the caller closes it.

        Raises:
            ClientError: as the store answers, NoSuchKey for instance.
        """
        wanted: dict[str, Any] = {"Range": f"bytes={start}-"} if start else {}
        return self.client.get_object(Bucket=self.bucket, Key=key, **wanted)["Body"]

    def write(self, key: str, data: bytes) -> bytes:
        """Put a small object and return what the store then holds, which another publisher may have replaced.

        An acknowledgement that is lost is no failure: what counts is what is read back.
        """
        failure: ClientError | HTTPClientError | None = None
        try:
            self.client.put_object(Bucket=self.bucket, Key=key, Body=data, ContentType="application/json")
        except (ClientError, HTTPClientError) as error:
            failure = error
        held = self.read(key)
        if held is None or (failure is not None and held != data):
            raise failure or UnavailableError(f"s3://{self.bucket}/{key} is gone right after it was written: try again")
        return held

    def swap(self, key: str, data: bytes, *, over: str | None) -> bool:
        """Put a small object where the one with ETag `over` is, or where none is; whether it was so.

        Only for a store that has conditional PUTs (see `conditional.py`), and with `over` spelt as it wants it. An
        acknowledgement that is lost is no failure, and neither is a refusal of what a retry sends again: what counts is
        whether `data` is there, so let no two callers write the same.
        """
        condition: dict[str, Any] = {"IfNoneMatch": "*"} if over is None else {"IfMatch": over}
        try:
            self.client.put_object(Bucket=self.bucket, Key=key, Body=data, ContentType="application/json", **condition)
        except (ClientError, HTTPClientError) as error:
            if self.read(key) == data:
                return True
            if isinstance(error, ClientError) and (http_status(error) in _NOT_SO or is_missing(error)):
                return False
            raise
        return True

    def holds(self, key: str, file: ScannedFile) -> bool:
        """Whether the object is exactly this file: by size and ETag, by sha256 if the ETag is of another kind."""
        try:
            head = self.client.head_object(Bucket=self.bucket, Key=key)
        except ClientError as error:
            if is_missing(error):
                return False
            raise
        if head["ContentLength"] != file.size:
            return False
        return head["ETag"].strip('"').lower() in file.etags or self._sha256(key) == file.sha256

    def upload(self, key: str, file: ScannedFile, on_bytes: Callable[[int], None]) -> None:
        """Put one file, in parts and from four threads if it is large, and confirm that exactly it arrived.

        `on_bytes` is told how many more bytes went out, by several threads; a negative number is sent again.

        Raises:
            UnavailableError: the store holds other bytes now: the file changed meanwhile, or they were lost.
        """
        try:
            self._send(key, file, on_bytes)
        except ClientError as error:
            if error_code(error) != "NoSuchUpload":  # it was completed and only the answer got lost, or it is not there
                raise
        if not self.holds(key, file):
            raise UnavailableError(f"s3://{self.bucket}/{key} is not {file.source} after its upload: try again")

    def _send(self, key: str, file: ScannedFile, on_bytes: Callable[[int], None]) -> None:
        step = part_size(file.size)
        config = TransferConfig(
            multipart_threshold=step,
            multipart_chunksize=step,
            max_concurrency=_THREADS,
            preferred_transfer_client="classic",
        )
        with create_transfer_manager(self.client, config) as manager:
            told = [ProgressCallbackInvoker(on_bytes)]
            manager.upload(str(file.source), self.bucket, key, subscribers=told).result()

    def _sha256(self, key: str) -> str:
        digest = hashlib.sha256()
        with contextlib.closing(self.open(key)) as body:
            for block in body.iter_chunks(_BLOCK):
                digest.update(block)
        return digest.hexdigest()
