"""Parses destinations (a folder, or `s3://bucket/prefix`) and release references, and opens their store.

A folder is served by the embedded server while its store is open; `s3://` uses boto3's own credentials and
AWS_ENDPOINT_URL_S3, never that server.
"""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.errors import InputError
from tasks.storage.embedded_server import LOCAL_BUCKET, embedded_store
from tasks.storage.names import check_alias, check_bucket, check_name, check_prefix, is_version

if TYPE_CHECKING:
    from tasks.storage.store import Store

_SCHEME = "s3://"


@dataclass(frozen=True)
class Destination:
    """Where releases are: a folder on this machine, or a bucket and prefix of an object store."""

    folder: Path | None
    bucket: str
    prefix: str

    def __str__(self) -> str:
        if self.folder is not None:
            return str(self.folder)
        return f"{_SCHEME}{self.bucket}/{self.prefix}".rstrip("/")


@dataclass(frozen=True)
class ReleaseReference:
    """One release: its destination, its name, and an alias or version of it."""

    destination: Destination
    name: str
    selector: str

    def __str__(self) -> str:
        return f"{self.destination}/{self.name}@{self.selector}"


def parse_destination(text: str) -> Destination:
    """Read a folder path or `s3://bucket/prefix`; the prefix may be empty.

    Raises:
        InputError: another scheme, an invalid bucket or prefix, an existing file, or an empty text.
    """
    if text.startswith(_SCHEME):
        bucket, _, prefix = text.removeprefix(_SCHEME).partition("/")
        return Destination(None, check_bucket(bucket), check_prefix(prefix))
    if "://" in text or not text.strip():
        raise InputError(f"the destination {text!r} must be a folder or s3://bucket/prefix")
    folder = Path(text).expanduser()
    if folder.exists() and not folder.is_dir():
        raise InputError(f"the destination {text!r} is a file: name a folder or s3://bucket/prefix")
    return Destination(folder, LOCAL_BUCKET, "")


def parse_reference(text: str) -> ReleaseReference:
    """Read `s3://bucket/prefix/name@alias` or `FOLDER/name@alias`, or either with a version.

    Raises:
        InputError: a part is missing or not allowed.
    """
    path, at, selector = text.rpartition("@")
    destination, slash, name = path.rpartition("/")
    if not at or not slash or destination in ("s3:/", "s3:"):
        raise InputError(f"{text!r} is not a release: write FOLDER/name@latest or s3://bucket/prefix/name@latest")
    if not is_version(selector):
        check_alias(selector)
    return ReleaseReference(parse_destination(destination or "/"), check_name(name), selector)


@contextlib.contextmanager
def open_store(
    destination: Destination, *, must_exist: bool = False, on_wait: Callable[[str], None] | None = None
) -> "Iterator[Store]":
    """A Store at `destination` while the block runs; a folder is created unless it `must_exist`.

    `on_wait` is called with a sentence where a folder is in use and has to be waited for.

    Raises:
        InputError: no such folder or bucket, no or wrong credentials, plain http to another machine.
        UnavailableError: the endpoint does not answer (known within 15 seconds), or the folder is in use.
    """
    from tasks.storage.client import connect_to_embedded, connect_to_remote  # boto3: a quarter of a second
    from tasks.storage.store import Store

    location, bucket, prefix = str(destination), destination.bucket, destination.prefix
    folder = destination.folder
    if folder is None:
        with contextlib.closing(connect_to_remote(bucket, f"{prefix}/spinneret-look".lstrip("/"))) as client:
            yield Store(client, bucket, prefix, location)
        return
    if must_exist and not (folder / LOCAL_BUCKET).is_dir():
        raise InputError(f"{folder} holds no releases: name a folder that releases were published to")
    with (
        embedded_store(folder, on_wait=on_wait) as endpoint,
        contextlib.closing(connect_to_embedded(endpoint)) as client,
    ):
        yield Store(client, bucket, prefix, location)
