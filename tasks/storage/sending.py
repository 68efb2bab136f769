"""Bring the bytes of one file into a store: from the disk, or by a copy of what the store holds already.

What comes in: a client, a bucket, a key, a scanned file. What it leaves: the object, put at once or in parts by several
threads, by boto3's own transfer manager. Each request carries the md5 of the part as it was scanned, so that a store
refuses what was changed on the way or on the disk meanwhile.
"""

import base64
import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from boto3.s3.transfer import TransferConfig, create_transfer_manager
from botocore.exceptions import ClientError, UnseekableStreamError
from s3transfer.subscribers import BaseSubscriber
from s3transfer.utils import OSUtils

from tasks.errors import UnavailableError
from tasks.storage.failures import error_code
from tasks.storage.manifest import ScannedFile, part_size
from tasks.storage.transfer_pool import Crew

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


MAX_COPY = 5 * 2**30
"""Bytes that a store copies with one request; S3's limit."""


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
        """Put the file, in parts where it is larger than one.

        Raises:
            UnavailableError: the file has changed since it was scanned.
            ClientError: as the store answers.
        """
        with self._md5_in_requests():
            try:
                self._run("upload", str(self.file.source))
            except (UnseekableStreamError, EOFError, FileNotFoundError) as error:
                raise self._changed() from error
            except ClientError as error:
                if error_code(error) == "BadDigest":
                    raise self._changed() from error
                if error_code(error) != "NoSuchUpload":  # completed, and only the answer was lost; or absent
                    raise

    def copy(self, source: str) -> None:
        """Let the store copy its object `source`, which has the bytes of the file.

        Raises:
            NotCopiedError: the store did something else.
            ClientError: as the store answers.
        """
        try:
            self._run("copy", {"Bucket": self.bucket, "Key": source}, threshold=MAX_COPY + 1)
        except KeyError as error:  # the embedded server takes the copy of a part for an empty part
            raise NotCopiedError from error

    def _changed(self) -> UnavailableError:
        return UnavailableError(f"{self.file.source} changed while it was published: try again")

    def _run(self, operation: Literal["upload", "copy"], source: str | dict[str, str], threshold: int = 0) -> None:
        part = part_size(self.file.size)
        config = TransferConfig(multipart_threshold=threshold or part + 1, multipart_chunksize=part, max_concurrency=4)
        with create_transfer_manager(self.client, config, _Files(self.file.size)) as manager:
            getattr(manager, operation)(source, self.bucket, self.key, subscribers=[_Progress(self)]).result()

    @contextmanager
    def _md5_in_requests(self) -> Iterator[None]:
        """Let each request for this key carry the md5 of its part."""
        events, handler = self.client.meta.events, self._add_md5
        names = [f"provide-client-params.s3.{operation}" for operation in ("PutObject", "UploadPart")]
        for name in names:
            events.register(name, handler, self.key + name)
        try:
            yield
        finally:
            for name in names:
                events.unregister(name, handler, self.key + name)

    def _add_md5(self, params: dict[str, Any], **_: object) -> None:
        if params["Key"] == self.key:
            params["ContentMD5"] = base64.b64encode(self.file.md5s[params.get("PartNumber", 1) - 1]).decode()


class _Files(OSUtils):
    """Opens the file to send as one that must not become shorter than `size`: the store would wait for the rest."""

    def __init__(self, size: int) -> None:
        self._size = size

    def open(self, filename: str, mode: str) -> "_File":
        """The file, opened by s3transfer once per part."""
        return _File(filename, self._size)


class _File(io.FileIO):
    def __init__(self, filename: str, size: int) -> None:
        super().__init__(filename)
        self._size = size

    def read(self, size: int | None = -1) -> bytes:
        """The next bytes; EOFError where the file has become shorter."""
        data = super().read(-1 if size is None else size)
        if size and not data:
            self._check()
        return data

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go to another place, to send again from there; what raises here ends the tries of botocore."""
        self._check()
        return super().seek(offset, whence)

    def _check(self) -> None:
        if os.fstat(self.fileno()).st_size < self._size:
            raise EOFError(f"{self.name!r} has become shorter")


class _Progress(BaseSubscriber):
    """Reports the bytes that went out; what `crew.go_on` raises ends the transfer."""

    def __init__(self, sender: Sender) -> None:
        self._sender = sender

    def on_queued(self, future: Any, **_: object) -> None:
        """State the size as scanned, by which the parts' md5 were computed."""
        future.meta.provide_transfer_size(self._sender.file.size)

    def on_progress(self, future: Any, bytes_transferred: int, **_: object) -> None:
        """Called by several threads; a negative number is sent again."""
        self._sender.crew.go_on()
        self._sender.on_bytes(bytes_transferred)
