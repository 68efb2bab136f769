"""The operations on an object store that the release protocol needs: read, write, compare-and-swap, upload, copy.

Every write is confirmed by reading it back; a missing object is None, not an error.
"""

import contextlib
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    HTTPClientError,
    IncompleteReadError,
    ReadTimeoutError,
    ResponseStreamingError,
)

from tasks.errors import InputError, UnavailableError
from tasks.storage.failures import explain_errors, http_status, is_missing
from tasks.storage.manifest import ScannedFile
from tasks.storage.sending import copy_object, send_file

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

MAX_DOCUMENT = 16 * 2**20
_BROKEN_STREAM = (IncompleteReadError, ReadTimeoutError, ResponseStreamingError)
"""Errors of a stream that can be resumed."""
_BLOCK = 2**20
_READS = 3
_STREAMS = 5
_CONDITION_FAILED = {409, 412}
"""Status of a conditional PUT: another PUT at the same time, or the condition does not hold."""


@dataclass(frozen=True)
class Store:
    """A bucket and prefix with an open client; `location` is its name in messages. Several threads may use it."""

    client: "S3Client"
    bucket: str
    prefix: str
    location: str

    @contextlib.contextmanager
    def explain_errors(self) -> Iterator[None]:
        """Turn botocore errors in the block into one sentence (InputError or UnavailableError)."""
        with explain_errors(f"s3://{self.bucket}/{self.prefix}".rstrip("/"), self.client.meta.endpoint_url):
            yield

    def key(self, *parts: str) -> str:
        """The key of `parts` below the prefix."""
        return "/".join([self.prefix, *parts] if self.prefix else parts)

    def read(self, key: str) -> bytes | None:
        """A small object (16 MiB at most), None if there is none."""
        found = self.read_with_etag(key)
        return None if found is None else found[0]

    def read_with_etag(self, key: str) -> tuple[bytes, str] | None:
        """A small object as `read` gives it, and its ETag; None if there is none.

        An object that arrives incomplete, or with an MD5 other than its ETag, is read again. The same bytes twice are
        accepted: the ETags of some stores are not MD5s.
        """
        found = None
        for left in reversed(range(_READS)):
            try:
                before, found = found, self._read_once(key)
            except _BROKEN_STREAM:
                if not left:
                    raise
                continue
            if found is None or found == before or _matches_etag(found[0], found[1]):
                break
        return found

    def _read_once(self, key: str) -> tuple[bytes, str] | None:
        try:
            answer = self.client.get_object(Bucket=self.bucket, Key=key)
        except ClientError as error:
            if is_missing(error):
                return None
            raise
        blocks, size = [], 0
        with contextlib.closing(answer["Body"]) as body:
            for block in body.iter_chunks(_BLOCK):  # to the end: only there a missing byte is noticed
                blocks.append(block)
                size += len(block)
                if size > MAX_DOCUMENT:
                    raise InputError(
                        f"s3://{self.bucket}/{key} is larger than {MAX_DOCUMENT:,} bytes: Spinneret did not write it"
                    )
        return b"".join(blocks), answer["ETag"]

    def blocks(
        self,
        key: str,
        start: int = 0,
        stop: int | None = None,
        *,
        check_size: Callable[[int | None], None] | None = None,
    ) -> Iterator[bytes]:
        """The bytes of an object from `start` to `stop`; a broken stream is resumed at the byte where it broke.

        `check_size` is called with the size of the object before any byte of a range is read; the size is None where
        the store ignored the range and returns the whole object.

        Raises:
            ClientError: the store refused, for instance with NoSuchKey.
        """
        for left in reversed(range(_STREAMS)):
            try:
                wanted: dict[str, Any] = {"Range": f"bytes={start}-{stop - 1 if stop else ''}"} if start or stop else {}
                answer = self.client.get_object(Bucket=self.bucket, Key=key, **wanted)
                with contextlib.closing(answer["Body"]) as body:
                    size = answer.get("ContentRange", "").rpartition("/")[2]
                    if check_size is not None:
                        check_size(int(size) if size.isdecimal() else None)
                    for block in body.iter_chunks(_BLOCK):
                        start += len(block)
                        yield block
                return
            except _BROKEN_STREAM:
                if not left:
                    raise

    def write(self, key: str, data: bytes) -> bytes:
        """Put a small object and return what the store holds afterwards, which another publisher may have written.

        A lost response is not a failure: what counts is what is read back.
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

    def compare_and_swap(self, key: str, data: bytes, *, etag: str | None) -> bool:
        """Replace the small object that has this `etag`, or create it if `etag` is None; whether that succeeded.

        Only for a store with conditional PUTs (see `conditional.py`), and with `etag` in its format. A lost response is
        not a failure, and neither is the refusal of a retry: what counts is whether `data` is in the store, so no two
        callers may write the same bytes.
        """
        condition: dict[str, Any] = {"IfNoneMatch": "*"} if etag is None else {"IfMatch": etag}
        try:
            self.client.put_object(Bucket=self.bucket, Key=key, Body=data, ContentType="application/json", **condition)
        except (ClientError, HTTPClientError) as error:
            if self.read(key) == data:
                return True
            if isinstance(error, ClientError) and (http_status(error) in _CONDITION_FAILED or is_missing(error)):
                return False
            raise
        return True

    def holds(self, key: str, file: ScannedFile) -> bool:
        """Whether the object is exactly this file: by size and ETag, or by sha256 if the ETag is not a known digest."""
        try:
            head = self.client.head_object(Bucket=self.bucket, Key=key)
        except ClientError as error:
            if is_missing(error):
                return False
            raise
        if head["ContentLength"] != file.size:
            return False
        return file.matches_etag(head["ETag"]) or self._sha256(key) == file.sha256

    def upload(self, key: str, file: ScannedFile, on_bytes: Callable[[int], None]) -> None:
        """Put one file, in parts if it is large, and confirm that exactly it arrived; `on_bytes` as of `send_file`.

        Raises:
            UnavailableError: the store holds other bytes now: the file changed meanwhile, or they were lost.
        """
        send_file(self.client, self.bucket, key, file, on_bytes)
        if not self.holds(key, file):
            raise UnavailableError(f"s3://{self.bucket}/{key} is not {file.source} after its upload: try again")

    def copy(self, source: str, key: str, file: ScannedFile, on_bytes: Callable[[int], None]) -> bool:
        """Have the store copy its object `source` to `key`; whether `key` then is exactly this file.

        False where the store cannot copy or `source` is gone. `on_bytes` may raise to stop.
        """
        with contextlib.suppress(ClientError, BotoCoreError, KeyError):
            copy_object(self.client, self.bucket, source, key, file, on_bytes)
        return self.holds(key, file)

    def _sha256(self, key: str) -> str:
        digest = hashlib.sha256()
        for block in self.blocks(key):
            digest.update(block)
        return digest.hexdigest()


def _matches_etag(data: bytes, etag: str) -> bool:
    """Whether the ETag is the MD5 of a small object, or its sha256 (embedded server)."""
    digests = hashlib.md5(data, usedforsecurity=False), hashlib.sha256(data)
    return etag.strip('"').lower() in {digest.hexdigest() for digest in digests}
