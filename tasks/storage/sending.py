"""Sends one file to an object store, or has the store copy an object, by boto3's transfer manager.

Each upload request carries the MD5 that its part had when the file was scanned, so a store refuses bytes that changed
since, on the disk or on the network.
"""

import base64
import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError, UnseekableStreamError
from s3transfer.manager import TransferConfig, TransferManager
from s3transfer.subscribers import BaseSubscriber
from s3transfer.utils import OSUtils

from tasks.errors import UnavailableError
from tasks.stage.folders import file_digest
from tasks.storage.failures import error_code
from tasks.storage.manifest import ScannedFile, part_size

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_SENDING: dict[tuple[str, str], ScannedFile] = {}
"""Files being sent, by bucket and key."""
MAX_COPY = 5 * 2**30
"""Bytes that a store copies with one request; S3's limit."""


def send_file(client: "S3Client", bucket: str, key: str, file: ScannedFile, on_bytes: Callable[[int], None]) -> None:
    """Put the file, in parts if it is larger than one part.

    `on_bytes` is called with the number of bytes sent, by several threads; a negative number will be sent again. An
    error that it raises ends the transfer.

    Raises:
        UnavailableError: the file has changed since it was scanned.
        ClientError: the store refused.
    """
    with _md5s_sent(bucket, key, file), _transfer_manager(client, file, threshold=part_size(file.size) + 1) as manager:
        try:
            manager.upload(str(file.source), bucket, key, subscribers=[_Progress(file.size, on_bytes)]).result()
        except (UnseekableStreamError, EOFError, FileNotFoundError) as error:
            raise _changed(file) from error
        except ClientError as error:
            if error_code(error) == "BadDigest" and not _is_as_scanned(file):
                raise _changed(file) from error
            if error_code(error) != "NoSuchUpload":  # the upload may be complete, and only its response was lost
                raise


def copy_object(  # noqa: PLR0913, PLR0917 from where, to where, how
    client: "S3Client", bucket: str, source: str, key: str, file: ScannedFile, on_bytes: Callable[[int], None]
) -> None:
    """Have the store copy its object `source`, which has the bytes of `file`; `on_bytes` as for `send_file`.

    Raises:
        ClientError: the store refused.
        KeyError: the store does not copy parts: the embedded server writes an empty part and returns no ETag.
    """
    with _transfer_manager(client, file, threshold=MAX_COPY + 1) as manager:
        progress = _Progress(file.size, on_bytes)
        manager.copy({"Bucket": bucket, "Key": source}, bucket, key, subscribers=[progress]).result()


def add_scanned_md5(params: dict[str, Any], **_: object) -> None:
    """Event handler of a client: add the MD5 of the scanned part to an upload request of `send_file`."""
    file = _SENDING.get((params["Bucket"], params["Key"]))
    if file is not None:
        params["ContentMD5"] = base64.b64encode(file.md5s[params.get("PartNumber", 1) - 1]).decode()


def _changed(file: ScannedFile) -> UnavailableError:
    return UnavailableError(f"{file.source} changed while it was published: try again")


def _is_as_scanned(file: ScannedFile) -> bool:
    return file.source.is_file() and file_digest(file.source) == file.sha256


def _transfer_manager(client: "S3Client", file: ScannedFile, threshold: int) -> TransferManager:
    chunk = part_size(file.size)
    config = TransferConfig(multipart_threshold=threshold, multipart_chunksize=chunk, max_request_concurrency=4)
    return TransferManager(client, config, _FileOpener(file.size))


@contextmanager
def _md5s_sent(bucket: str, key: str, file: ScannedFile) -> Iterator[None]:
    _SENDING[bucket, key] = file
    try:
        yield
    finally:
        _SENDING.pop((bucket, key), None)


class _Progress(BaseSubscriber):
    def __init__(self, size: int, on_bytes: Callable[[int], None]) -> None:
        self._size = size
        self._on_bytes = on_bytes

    def on_queued(self, future: Any, **_: object) -> None:
        """State the scanned size: the MD5s are those of its parts."""
        future.meta.provide_transfer_size(self._size)

    def on_progress(self, future: Any, bytes_transferred: int, **_: object) -> None:
        """Report the bytes; what this raises ends the transfer."""
        self._on_bytes(bytes_transferred)


class _FileOpener(OSUtils):
    """Opens the file so that it fails where it became shorter than `size`; else the store would wait for the rest."""

    def __init__(self, size: int) -> None:
        self._size = size

    def open(self, filename: str, mode: str) -> "_File":
        """Called once per part."""
        return _File(filename, self._size)


class _File(io.FileIO):
    def __init__(self, filename: str, size: int) -> None:
        super().__init__(filename)
        self._size = size

    def read(self, size: int | None = -1) -> bytes:
        """The next bytes; EOFError where the file has become shorter."""
        data = super().read(-1 if size is None else size)
        if size and not data:
            self._check_size()
        return data

    def seek(self, offset: int, whence: int = 0) -> int:
        """Called before a retry, which an error raised here prevents."""
        self._check_size()
        return super().seek(offset, whence)

    def _check_size(self) -> None:
        if os.fstat(self.fileno()).st_size < self._size:
            raise EOFError(f"{self.name!r} has become shorter")
