"""Manifests: the files of a release with size and sha256; the sha256 of the manifest is the version.

A manifest is canonical JSON without time or run id, so equal content has an equal version, and publishing it twice
stores it once.
"""

import hashlib
import json
import os
import stat
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType

from tasks.errors import InputError
from tasks.storage.names import check_file_paths, check_name, is_version

SCHEMA = "spinneret-release/1"
MIN_PART = 16 * 2**20
_MD5_DIGITS = 32
MAX_PARTS = 9000  # S3 allows 10,000
_FILES_AT_ONCE = 2
_HASHERS = 4
_PARTS_AHEAD = 2
"""Parts of one file in memory while their MD5 is computed, beside the one that is read."""


@dataclass(frozen=True)
class FileEntry:
    """One file as the manifest states it: size in bytes, sha256 in hex."""

    size: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """A validated manifest; `data` are its exact bytes, `version` their sha256."""

    name: str
    files: Mapping[str, FileEntry]
    data: bytes
    version: str

    @property
    def size(self) -> int:
        """Bytes of all files together."""
        return sum(entry.size for entry in self.files.values())


@dataclass(frozen=True)
class ScannedFile:
    """One file on disk after one read pass; `md5s` are those of its parts (see `part_size`), in order."""

    path: str
    source: Path
    size: int
    sha256: str
    md5s: tuple[bytes, ...]

    def matches_etag(self, etag: str) -> bool:
        """Whether `etag` is one of the ETags that stores give to exactly these bytes.

        These are the MD5, the MD5 of the parts' MD5s with their number and, from the embedded server, the sha256.
        """
        given = etag.strip('"').lower()
        return given in (self.sha256, self._md5_of_parts) or (len(given) == _MD5_DIGITS and given == self._md5)

    @property
    def _md5_of_parts(self) -> str:
        return f"{_md5(b''.join(self.md5s)).hexdigest()}-{len(self.md5s)}"

    @cached_property
    def _md5(self) -> str:
        """Reads a file of several parts again; few stores use this ETag for one."""
        if len(self.md5s) == 1:
            return self.md5s[0].hex()
        with self.source.open("rb") as file:
            return hashlib.file_digest(file, _md5).hexdigest()


def part_size(size: int) -> int:
    """Bytes in one part of a multipart upload: a function of the file size alone, so that ETags can be predicted."""
    return max(MIN_PART, -(-size // MAX_PARTS))


def scan(folder: Path) -> tuple[ScannedFile, ...]:
    """Read every file below `folder` once; sorted by path.

    Raises:
        InputError: no folder, no file in it, a symlink or special file, an unsafe name, code or pickle.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder: name the folder to release")
    sources = {source.relative_to(folder).as_posix(): source for source in _walk(folder)}
    if not sources:
        raise InputError(f"{folder} holds no file: there is nothing to release")
    check_file_paths(sources)
    paths = sorted(sources)
    with ThreadPoolExecutor(_FILES_AT_ONCE) as pool, ThreadPoolExecutor(_HASHERS) as hashers:
        return tuple(pool.map(lambda path: _read(path, sources[path], hashers), paths))


def _walk(folder: Path) -> Iterator[Path]:
    for entry in sorted(folder.iterdir()):
        mode = entry.lstat().st_mode
        if stat.S_ISDIR(mode):
            yield from _walk(entry)
        elif stat.S_ISREG(mode):
            yield entry
        else:
            kind = "a symlink" if stat.S_ISLNK(mode) else "not a regular file"
            raise InputError(f"{entry} is {kind}: a release holds regular files only; copy the content or leave it out")


def read_file(path: str, source: Path) -> ScannedFile:
    """Read a file once, for its sha256 and, in other threads, the MD5 of each part."""
    with ThreadPoolExecutor(_HASHERS) as hashers:
        return _read(path, source, hashers)


def _read(path: str, source: Path, hashers: ThreadPoolExecutor) -> ScannedFile:
    sha256, size = hashlib.sha256(), 0
    md5s, waiting = [], deque[Future[bytes]]()
    with source.open("rb") as file:
        step = part_size(os.fstat(file.fileno()).st_size)
        while block := file.read(step):
            waiting.append(hashers.submit(lambda data: _md5(data).digest(), block))
            sha256.update(block)
            size += len(block)
            if len(waiting) > _PARTS_AHEAD:
                md5s.append(waiting.popleft().result())
    md5s += [future.result() for future in waiting]
    return ScannedFile(path, source, size, sha256.hexdigest(), tuple(md5s or [_md5().digest()]))


def _md5(data: bytes = b"") -> "hashlib._Hash":
    return hashlib.md5(data, usedforsecurity=False)


def build_manifest(name: str, files: Iterable[ScannedFile]) -> Manifest:
    """The manifest of `files` under the release name `name`."""
    entries = {file.path: FileEntry(file.size, file.sha256) for file in files}
    data = _canonical(name, entries)
    return Manifest(name, MappingProxyType(entries), data, hashlib.sha256(data).hexdigest())


def parse_manifest(data: bytes, version: str) -> Manifest:
    """Parse and validate a manifest that another program may have written.

    Raises:
        InputError: its sha256 is not `version`, it is not canonical, or a name, path, size or hash is not allowed.
    """
    found = hashlib.sha256(data).hexdigest()
    if found != version:
        raise InputError(f"the manifest of version {version} is damaged: its sha256 is {found}; publish it again")
    try:
        content = json.loads(data)
        name, files = content["name"], content["files"]
        entries = {path: FileEntry(entry["size"], entry["sha256"]) for path, entry in files.items()}
        canonical = data == _canonical(name, entries)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(
            f"the manifest of version {version} is not a manifest of schema {SCHEMA!r}: {error!r}"
        ) from error
    if not canonical or not entries or not all(map(is_valid, entries.values())):
        raise InputError(f"the manifest of version {version} does not follow schema {SCHEMA!r}: publish it again")
    check_name(name)
    check_file_paths(entries)
    return Manifest(name, MappingProxyType(entries), data, version)


def is_valid(entry: FileEntry) -> bool:
    """Whether size and sha256 have the right form."""
    size, sha256 = entry.size, entry.sha256
    return type(size) is int and size >= 0 and isinstance(sha256, str) and is_version(sha256)


def _canonical(name: str, entries: Mapping[str, FileEntry]) -> bytes:
    files = {path: {"size": entry.size, "sha256": entry.sha256} for path, entry in entries.items()}
    content = {"schema": SCHEMA, "name": name, "files": files}
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()
