"""Bring the bytes of one file into a store: from the disk, or by a copy of what the store holds already.

What comes in: a client, a bucket, a key, a scanned file. What it leaves: the object, put at once or, if the file is
larger than one part, in parts by several threads. Each request carries the md5 of the part as it was scanned, so that a
store refuses what was changed on the way or on the disk meanwhile. Nothing of the file is held in memory.
"""

import base64
import contextlib
import hashlib
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from tasks.errors import SpinneretError, UnavailableError
from tasks.storage.crew import Crew
from tasks.storage.failures import error_code
from tasks.storage.manifest import ScannedFile, part_size

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

MAX_COPY = 5 * 2**30
"""Bytes that a store copies with one request; S3's limit."""
_BLOCK = 2**18


class NotCopiedError(Exception):
    """The store answered, but not as one that copies."""


@dataclass(frozen=True)
class Sender:
    """Sends one file to one key; `on_bytes` as for `Store.upload`."""

    client: "S3Client"
    bucket: str
    key: str
    file: ScannedFile
    crew: Crew
    on_bytes: Callable[[int], None]

    def send(self) -> None:
        """Put the file.

        Raises:
            UnavailableError: the file has changed since it was scanned.
        """
        if len(self.file.md5s) > 1:
            self._in_parts(self._send_part)
            return
        with self._body(0) as body:
            self.client.put_object(Bucket=self.bucket, Key=self.key, Body=body, ContentMD5=self._md5(0))

    def copy(self, source: str) -> None:
        """Let the store copy its object `source`, which has the bytes of the file.

        Raises:
            NotCopiedError: it did something else.
        """
        origin: Any = {"Bucket": self.bucket, "Key": source}
        if self.file.size <= MAX_COPY:
            self.client.copy_object(Bucket=self.bucket, Key=self.key, CopySource=origin)
            return

        def copy_part(upload: str, number: int) -> str:
            self._tell(0)
            start, stop = self._span(number)
            answer = self.client.upload_part_copy(
                Bucket=self.bucket, Key=self.key, UploadId=upload, PartNumber=number + 1,
                CopySource=origin, CopySourceRange=f"bytes={start}-{stop - 1}",
            )  # fmt: skip
            etag = answer["CopyPartResult"].get("ETag")
            if etag is None:  # the embedded server takes such a request for an empty part
                raise NotCopiedError
            return etag

        self._in_parts(copy_part)

    def _in_parts(self, make: Callable[[str, int], str]) -> None:
        """One upload of parts, which `make` makes; given up whole if one of them fails."""
        upload = self.client.create_multipart_upload(Bucket=self.bucket, Key=self.key)["UploadId"]
        numbers = range(len(self.file.md5s))
        try:
            etags = self.crew.each_part(lambda number: make(upload, number), numbers)
            self._complete(upload, etags)
        except BaseException:
            with contextlib.suppress(ClientError, BotoCoreError, SpinneretError):  # what failed first is what counts
                self.client.abort_multipart_upload(Bucket=self.bucket, Key=self.key, UploadId=upload)
            raise

    def _complete(self, upload: str, etags: list[str]) -> None:
        parts: Any = [{"PartNumber": number, "ETag": etag} for number, etag in enumerate(etags, start=1)]
        try:
            self.client.complete_multipart_upload(
                Bucket=self.bucket, Key=self.key, UploadId=upload, MultipartUpload={"Parts": parts}
            )
        except ClientError as error:
            if error_code(error) != "NoSuchUpload":  # it was completed and only the answer got lost, or it is not there
                raise

    def _send_part(self, upload: str, number: int) -> str:
        with self._body(number) as body:
            answer = self.client.upload_part(
                Bucket=self.bucket, Key=self.key, UploadId=upload, PartNumber=number + 1,
                Body=body, ContentMD5=self._md5(number),
            )  # fmt: skip
        return answer["ETag"]

    @contextlib.contextmanager
    def _body(self, number: int) -> Iterator["_Part"]:
        """The bytes of one part; a failure while the file is another than it was is explained as that."""
        start, stop = self._span(number)
        try:
            with _Part(self.file, start, stop, self._tell) as body:
                yield body
        except (ClientError, BotoCoreError, EOFError, FileNotFoundError) as error:
            self.crew.go_on()
            if self._has_changed(number):
                raise UnavailableError(f"{self.file.source} changed while it was published: try again") from error
            raise

    def _tell(self, more: int) -> None:
        self.crew.go_on()
        self.on_bytes(more)

    def _span(self, number: int) -> tuple[int, int]:
        step = part_size(self.file.size)
        return number * step, min((number + 1) * step, self.file.size)

    def _md5(self, number: int) -> str:
        return base64.b64encode(self.file.md5s[number]).decode()

    def _has_changed(self, number: int) -> bool:
        digest = hashlib.md5(usedforsecurity=False)
        with (
            contextlib.suppress(EOFError, FileNotFoundError),
            _Part(self.file, *self._span(number), lambda _: None) as part,
        ):
            while block := part.read(_BLOCK):
                digest.update(block)
        return digest.digest() != self.file.md5s[number]


class _Part(io.FileIO):
    """The bytes of a file from `start` to `stop`, as botocore wants a body; tells of what is read, and read anew."""

    def __init__(self, file: ScannedFile, start: int, stop: int, tell: Callable[[int], None]) -> None:
        super().__init__(file.source)
        self._start, self._stop, self._at, self._tell = start, stop, start, tell
        self._is_short = False
        super().seek(start)

    def __len__(self) -> int:
        return self._stop - self._start

    def read(self, size: int | None = -1) -> bytes:
        """The next bytes, and more of them than the 16 KiB at a time that http.client asks for.

        Raises:
            EOFError: the file has become shorter.
        """
        left = self._stop - self._at
        data = super().read(left if size is None or size < 0 else min(left, max(size, _BLOCK)))
        self._is_short = bool(left and not data)
        self._check()
        self._at += len(data)
        self._tell(len(data))
        return data

    def seek(self, place: int, whence: int = 0) -> int:
        """Go to `place` (counted from `start`), to send from there again; botocore asks for no other `whence`.

        What raises here ends the tries; what raises while the body is sent would be tried again.
        """
        self._check()
        back = self._start + place - self._at
        self._tell(back)
        self._at += back
        super().seek(self._at)
        return place

    def tell(self) -> int:
        """Where it is, counted from `start`."""
        return self._at - self._start

    def _check(self) -> None:
        if self._is_short:
            raise EOFError(f"{self.name!r} has become shorter")
