"""The few things that the publish protocol asks of an object store.

What comes in: a client, a bucket and a prefix. What it leaves: objects put, and confirmed by asking for them again; the
bytes or the state of an object, or None where there is none. All of the protocol's calls pass here.
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
from tasks.storage.failures import explained, http_status, is_missing
from tasks.storage.manifest import ScannedFile
from tasks.storage.sending import NotCopiedError, Sender
from tasks.storage.transfer_pool import Crew

if TYPE_CHECKING:
    from botocore.response import StreamingBody
    from mypy_boto3_s3 import S3Client

MAX_DOCUMENT = 16 * 2**20
BROKEN_STREAM = (IncompleteReadError, ReadTimeoutError, ResponseStreamingError)
"""How a stream ends that could be taken up."""
_BLOCK = 2**20
_READS = 3
_STREAMS = 5
_NOT_SO = {409, 412}
"""Answers to a conditional PUT: another PUT at the same moment, the condition does not hold."""


@dataclass(frozen=True)
class Store:
    """A bucket and prefix with an open client; `place` is what a person calls it. Several threads may use it."""

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
        """A small object as `read` gives it, and its ETag; None if there is none.

        What arrives short, or with another md5 than its ETag says, is read again. What comes twice is believed: the
        ETags of some stores are no md5s.
        """
        found = None
        for left in reversed(range(_READS)):
            try:
                before, found = found, self._read_once(key)
            except BROKEN_STREAM:
                if not left:
                    raise
                continue
            if found is None or found == before or _is_named_by(found[0], found[1]):
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
            for block in body.iter_chunks(_BLOCK):  # to its end: only that finds out whether something is missing
                blocks.append(block)
                size += len(block)
                if size > MAX_DOCUMENT:
                    what = f"is larger than {MAX_DOCUMENT:,} bytes: it is no such document"
                    raise InputError(f"s3://{self.bucket}/{key} {what}")
        return b"".join(blocks), answer["ETag"]

    def open(self, key: str, start: int = 0) -> "StreamingBody":
        """The bytes of an object from offset `start` as a stream; the caller closes it.

        Raises:
            ClientError: as the store answers, NoSuchKey for instance.
        """
        wanted: dict[str, Any] = {"Range": f"bytes={start}-"} if start else {}
        return self.client.get_object(Bucket=self.bucket, Key=key, **wanted)["Body"]

    def blocks(self, key: str) -> Iterator[bytes]:
        """All bytes of an object; a stream that breaks is taken up where it broke.

        Raises:
            ClientError: as `open`.
        """
        at = 0
        for left in reversed(range(_STREAMS)):
            try:
                with contextlib.closing(self.open(key, at)) as body:
                    for block in body.iter_chunks(_BLOCK):
                        at += len(block)
                        yield block
                return
            except BROKEN_STREAM:
                if not left:
                    raise

    def open_span(self, key: str, start: int, stop: int) -> "tuple[StreamingBody, int | None]":
        """The bytes from `start` to `stop` as `open` gives them, and how many the object has; None if it is not told.

        What a store that cannot give a part of an object answers is not told from the right bytes but by that None.
        """
        answer = self.client.get_object(Bucket=self.bucket, Key=key, Range=f"bytes={start}-{stop - 1}")
        size = answer.get("ContentRange", "").rpartition("/")[2]
        return answer["Body"], int(size) if size.isdecimal() else None

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
        return file.is_named_by(head["ETag"]) or self._sha256(key) == file.sha256

    def upload(self, key: str, file: ScannedFile, on_bytes: Callable[[int], None], crew: Crew | None = None) -> None:
        """Put one file, in parts and by the threads of `crew` if it is large, and confirm that exactly it arrived.

        `on_bytes` is told how many more bytes went out, by several threads; a negative number is sent again.

        Raises:
            UnavailableError: the store holds other bytes now: the file changed meanwhile, or they were lost.
        """
        with contextlib.nullcontext(crew) if crew else Crew() as threads:
            Sender(self.client, self.bucket, key, file, threads, on_bytes).send()
        if not self.holds(key, file):
            raise UnavailableError(f"s3://{self.bucket}/{key} is not {file.source} after its upload: try again")

    def copy(self, source: str, key: str, file: ScannedFile, go_on: Callable[[int], None]) -> bool:
        """Let the store copy its object `source`; whether `key` then is exactly this file.

        A store that cannot do so, or has no such source any more, is no failure: then it is not. `go_on` is called with
        a 0 now and then, and may raise.
        """
        with contextlib.suppress(ClientError, BotoCoreError, NotCopiedError), Crew() as crew:
            Sender(self.client, self.bucket, key, file, crew, go_on).copy(source)
        return self.holds(key, file)

    def _sha256(self, key: str) -> str:
        digest = hashlib.sha256()
        for block in self.blocks(key):
            digest.update(block)
        return digest.hexdigest()


def _is_named_by(data: bytes, etag: str) -> bool:
    """Whether the ETag is the md5 of a small object or, from the embedded server, its sha256."""
    digests = hashlib.md5(data, usedforsecurity=False), hashlib.sha256(data)
    return etag.strip('"').lower() in {digest.hexdigest() for digest in digests}
