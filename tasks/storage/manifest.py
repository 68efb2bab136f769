"""The manifest: what a release is made of, and its name for ever.

What comes in: a folder (`scan`), or the bytes of a manifest from a store (`parse_manifest`). What it leaves: a
Manifest, whose version is the sha256 of its canonical JSON. It holds no time and no run id, so equal content has an
equal version and publishing it twice is one publication. What comes from a store is validated before it is used.
"""

import hashlib
import json
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from tasks.errors import InputError
from tasks.storage.names import check_file_paths, check_name, is_version

SCHEMA = "spinneret-release/1"
MIN_PART = 16 * 2**20
MAX_PARTS = 9000  # the limit is 10,000
_BLOCK = 2**20


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
    """One file on disk after one read pass: `etags` are what a store may call exactly these bytes."""

    path: str
    source: Path
    size: int
    sha256: str
    etags: frozenset[str]


def part_size(size: int) -> int:
    """Bytes in one part of a multipart upload: a function of the file size alone, so that ETags can be foretold."""
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
    return tuple(read_file(path, sources[path]) for path in sorted(sources))


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
    """One pass over the bytes: sha256, md5, and for a file of several parts the md5 of its parts' md5s."""
    sha256, md5, part = hashlib.sha256(), _md5(), _md5()
    parts: list[bytes] = []
    with source.open("rb") as file:
        step = part_size(os.fstat(file.fileno()).st_size)
        size, room = 0, step
        while block := file.read(min(_BLOCK, room)):
            for digest in (sha256, md5, part):
                digest.update(block)
            size, room = size + len(block), room - len(block)
            if room == 0:
                parts.append(part.digest())
                part, room = _md5(), step
    if room < step:
        parts.append(part.digest())
    composite = f"{_md5(b''.join(parts)).hexdigest()}-{len(parts)}"
    return ScannedFile(path, source, size, sha256.hexdigest(), frozenset({md5.hexdigest(), composite}))


def _md5(data: bytes = b"") -> "hashlib._Hash":
    return hashlib.md5(data, usedforsecurity=False)


def build_manifest(name: str, files: Iterable[ScannedFile]) -> Manifest:
    """The manifest of `files` under the release name `name`."""
    entries = {file.path: FileEntry(file.size, file.sha256) for file in files}
    data = _canonical(name, entries)
    return Manifest(name, MappingProxyType(entries), data, hashlib.sha256(data).hexdigest())


def parse_manifest(data: bytes, version: str) -> Manifest:
    """Read a manifest that somebody else wrote, and trust nothing in it.

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
        raise InputError(f"the manifest of version {version} is no manifest of schema {SCHEMA!r}: {error!r}") from error
    if not canonical or not entries or not all(map(is_sound, entries.values())):
        raise InputError(f"the manifest of version {version} does not keep to schema {SCHEMA!r}: publish it again")
    check_name(name)
    check_file_paths(entries)
    return Manifest(name, MappingProxyType(entries), data, version)


def is_sound(entry: FileEntry) -> bool:
    """Whether size and sha256 are such at all."""
    size, sha256 = entry.size, entry.sha256
    return type(size) is int and size >= 0 and isinstance(sha256, str) and is_version(sha256)


def _canonical(name: str, entries: Mapping[str, FileEntry]) -> bytes:
    files = {path: {"size": entry.size, "sha256": entry.sha256} for path, entry in entries.items()}
    content = {"schema": SCHEMA, "name": name, "files": files}
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()
