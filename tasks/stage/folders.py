"""Folders and files that are written whole or not at all; any module may import this one.

A folder is filled under a `.partial` name, its `manifest.json` (the size and sha256 of every file, and perhaps the
seconds that it took) is written last, and one rename completes it. A folder is checked against its manifest before it
is used: a damaged one counts as absent.
"""

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from io import BufferedReader
from pathlib import Path
from typing import Any, BinaryIO

from tasks.disk import NO_SPACE, no_space_message
from tasks.errors import InputError

MANIFEST = "manifest.json"

Facts = Mapping[str, Any]
"""What a stage records about its folder (counts, losses): plain JSON values."""


def digest(*values: object) -> str:
    """Sha256 (hex) of the canonical JSON of `values`: equal values give equal keys, on any machine."""
    return hashlib.sha256(json.dumps(values, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def json_text(value: object) -> str:
    """JSON that a person can read, with a line break at its end."""
    return json.dumps(value, ensure_ascii=False, indent=1) + "\n"


def open_bytes(path: Path) -> BufferedReader:
    """Open a file for reading bytes; InputError if it is missing, a folder or not readable."""
    try:
        return path.open("rb")
    except FileNotFoundError as error:
        raise InputError(f"{path}: there is no such file; check the path") from error
    except IsADirectoryError as error:
        raise InputError(f"{path}: is a folder where a file is wanted; name a file in it") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check the path and its permissions") from error


def file_digest(path: Path) -> str:
    """Sha256 (hex) of a file's bytes; InputError if it cannot be read."""
    with open_bytes(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def list_files(folder: Path) -> dict[str, dict[str, Any]]:
    """Every file below `folder` except its manifest: relative path → size and sha256, sorted by path."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / MANIFEST)
    return {
        path.relative_to(folder).as_posix(): {"size": path.stat().st_size, "sha256": file_digest(path)}
        for path in paths
    }


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """The manifest of a folder that is whole (each file there, size and sha256 right), or None."""
    try:
        manifest = json.loads((folder / MANIFEST).read_bytes())
        sizes_agree = all((folder / name).stat().st_size == file["size"] for name, file in manifest["files"].items())
        whole = sizes_agree and list_files(folder) == manifest["files"]
    except (InputError, OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return manifest if whole else None


def read_timing(folder: Path) -> float:
    """Seconds that it took to fill a folder that was made with `timed`."""
    return float(json.loads((folder / MANIFEST).read_bytes())["seconds"])


def make_folder(
    folder: Path, fill: Callable[[Path], Facts], *, durable: bool = False, timed: bool = False
) -> dict[str, Any]:
    """Fill `folder` whole or not at all and return its manifest; `fill` gets the partial folder and returns facts.

    A damaged folder of that name is replaced; when another process or thread was quicker, its folder is kept and used.
    `timed`: the manifest has the seconds that it took; otherwise it depends on the content alone.
    `durable`: everything is on the disk before the rename, so that it is whole or absent after a power cut too.
    Raises InputError when the disk is full; whatever is raised, the partial folder is removed.
    """
    remove_leftovers(folder.parent, folder.name)
    try:
        with _partial_folder(folder) as partial:
            began = time.monotonic()
            facts = fill(partial)
            manifest: dict[str, Any] = {"facts": dict(facts), "files": list_files(partial)}
            if timed:
                manifest["seconds"] = round(time.monotonic() - began, 3)
            (partial / MANIFEST).write_text(json.dumps(manifest, indent=1, sort_keys=True) + "\n", encoding="utf-8")
            if durable:
                flush(*partial.rglob("*"), partial)
            made = _put_in_place(partial, folder, manifest)
            if durable:
                flush(folder.parent, folder.parent.parent)  # that one too, since the first folder of a key makes both
            return made
    except OSError as error:
        if error.errno in NO_SPACE:
            raise InputError(no_space_message(folder)) from error
        raise


@contextmanager
def open_whole(path: Path) -> Iterator[BinaryIO]:
    """Open a file for writing that appears under its name only when the block ends without an error.

    The bytes go to a hidden file beside it, are flushed to the disk and renamed: a reader sees the old file or the new
    one and never a part. InputError if the folder is missing or cannot be written to.
    """
    if not path.name:
        raise InputError(f"{path}: does not end in the name of a file; name the file to write")
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
    try:
        with _open_new(partial, path) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        try:
            partial.replace(path)
        except OSError as error:
            message = f"{path}: cannot be replaced ({error.strerror}); name a file that can be written"
            raise InputError(message) from error
    finally:
        with contextlib.suppress(OSError):  # renamed, or never made
            partial.unlink()


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file (text as UTF-8) as `open_whole` does: whole or not at all."""
    with open_whole(path) as file:
        file.write(content.encode() if isinstance(content, str) else content)


def ensure_folder(folder: Path) -> None:
    """Make a folder and its parents; raises InputError where that is not possible."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        if error.errno in NO_SPACE:
            raise InputError(no_space_message(folder)) from error
        removed = error.errno == errno.EEXIST and not os.path.lexists(folder)  # by another process, just now
        if removed or folder.is_dir():
            return ensure_folder(folder)
        raise InputError(
            f"{folder.parent} cannot be written to ({error.strerror}); set SPINNERET_DATA to a folder that can."
        ) from error


def remove_folder(folder: Path) -> None:
    """Remove a folder or a file, if there is one, in one step: after a kill -9 it is whole or absent.

    A kill -9 leaves a partial folder, which `remove_leftovers` removes.
    """
    doomed = folder.with_name(f"{folder.name}.partial-{secrets.token_hex(4)}")
    with contextlib.suppress(FileNotFoundError):  # another process cleared it away
        folder.rename(doomed)
    _remove(doomed)


def remove_older(folder: Path, than: datetime) -> bool:
    """Remove a folder that was made before `than`; returns whether there was one."""
    try:
        made = (folder / MANIFEST).stat().st_mtime
    except FileNotFoundError:
        return False
    if made >= than.timestamp():
        return False
    remove_folder(folder)
    return True


def remove_leftovers(parent: Path, name: str) -> None:
    """Remove partial folders of `name` (a glob pattern) whose process has ended: kill -9 leaves them."""
    for leftover in parent.glob(f"{name}.partial-*"):
        with contextlib.suppress(OSError):
            lock = os.open(leftover, os.O_RDONLY)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _remove(leftover)
            finally:
                os.close(lock)


def _open_new(partial: Path, path: Path) -> BinaryIO:
    try:
        return partial.open("xb")
    except FileNotFoundError as error:
        raise InputError(f"{path}: the folder {path.parent} does not exist; make it first") from error
    except OSError as error:
        raise InputError(
            f"{path}: the folder {path.parent} cannot be written to ({error.strerror}); "
            "name another or change its permissions"
        ) from error


@contextmanager
def _partial_folder(folder: Path) -> Iterator[Path]:
    """A new folder, locked while the block runs: a partial folder without a lock belongs to a process that ended.

    It is a lock and not a process id, since two containers that share a data folder may have the same ids.
    """
    while True:
        partial = folder.with_name(f"{folder.name}.partial-{secrets.token_hex(4)}")
        ensure_folder(partial)
        try:
            lock = os.open(partial, os.O_RDONLY)
        except FileNotFoundError:  # taken for a leftover before it was opened
            continue
        fcntl.flock(lock, fcntl.LOCK_EX)
        if partial.exists():  # else it was taken for one before it was locked
            break
        os.close(lock)
    try:
        yield partial
    finally:
        _remove(partial)
        os.close(lock)


def _put_in_place(partial: Path, folder: Path, manifest: dict[str, Any]) -> dict[str, Any]:
    while not _renamed(partial, folder):
        found = read_manifest(folder)
        if found is not None:
            return found
        remove_folder(folder)
    return manifest


def _renamed(partial: Path, folder: Path) -> bool:
    try:
        partial.rename(folder)
    except OSError as error:
        if error.errno not in {errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR}:
            raise
        return False
    return True


def _remove(path: Path) -> None:
    """Remove a folder with its contents, a file or a link, if there is one."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def flush(*paths: Path) -> None:
    """Wait until files and folders are on the disk."""
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
