"""Names that are allowed in a bucket and on disk; the same rules for publishing and for fetching.

Some servers accept `../` in a key, so names are letters, digits and `._+=@-`, the first a letter or digit: no hidden
file, no `..`, no space, nothing that is special in a shell or a URL. Files that run code when they are loaded are
refused by their suffix.
"""

import re
from collections.abc import Iterable
from pathlib import PurePosixPath

from tasks.errors import InputError

MANIFEST = "manifest.json"
MAX_SEGMENT = 200
MAX_PATH = 512
_SEGMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+=@-]*")
_VERSION = re.compile(r"[0-9a-f]{64}")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_RULE = "use letters, digits and ._+=@- with a letter or digit first"
_UNSAFE_SUFFIXES = frozenset(
    ".bin .pt .pth .pkl .pickle .ckpt .npy .npz .joblib .py .pyc .so .dll .dylib".split()  # noqa: SIM905
)


def is_version(text: str) -> bool:
    """Whether `text` is a version: the sha256 of a manifest in lower-case hex."""
    return _VERSION.fullmatch(text) is not None


def check_segment(segment: str, what: str) -> str:
    """Return `segment`, one part of a path or key, if it is safe; `what` names it in the error."""
    if _SEGMENT.fullmatch(segment) is None:
        raise InputError(f"{what} has the unsafe part {segment!r}: {_RULE}")
    if len(segment) > MAX_SEGMENT:
        raise InputError(f"{what} has a part of {len(segment)} characters: at most {MAX_SEGMENT} are allowed")
    return segment


def check_name(name: str) -> str:
    """Return `name` if it is a valid release name: one safe segment without `@`, at most 100 characters."""
    check_segment(name, f"the release name {name!r}")
    if "@" in name or len(name) > 100:
        raise InputError(f"the release name {name!r} must have no @ and at most 100 characters: choose another")
    return name


def check_alias(alias: str) -> str:
    """Return `alias` if it is valid: like a release name, and not like a version."""
    check_segment(alias, f"the alias {alias!r}")
    if "@" in alias or len(alias) > 100 or is_version(alias):
        raise InputError(f"the alias {alias!r} must have no @, at most 100 characters and not look like a version")
    return alias


def check_bucket(bucket: str) -> str:
    """Return `bucket` if it is a valid bucket name (3 to 63 characters of a-z, 0-9, `.` and `-`)."""
    if _BUCKET.fullmatch(bucket) is None:
        raise InputError(f"{bucket!r} is not a valid bucket name: use 3 to 63 characters of a-z, 0-9, . and -")
    return bucket


def check_prefix(prefix: str) -> str:
    """Return `prefix` without outer slashes if each of its parts is safe; it may be empty."""
    prefix = prefix.strip("/")
    if len(prefix) > MAX_SEGMENT:
        raise InputError(f"the prefix has {len(prefix)} characters: at most {MAX_SEGMENT} are allowed")
    for segment in prefix.split("/") if prefix else []:
        check_segment(segment, f"the prefix {prefix!r}")
    return prefix


def check_file_paths(paths: Iterable[str], *, code_allowed: bool = False) -> None:
    """Refuse unsafe paths, and paths that cannot coexist on every file system.

    The latter differ only in case, or are both a file and a folder. Files that can run code when they are loaded are
    refused too, unless `code_allowed`.
    """
    spelled: dict[str, str] = {}
    files = {path.casefold() for path in paths}
    for path in paths:
        _check_file_path(path)
        if not code_allowed and PurePosixPath(path).suffix.casefold() in _UNSAFE_SUFFIXES:
            raise InputError(f"the release file {path!r} can run code when loaded: ship weights as .safetensors")
        for part in (path, *map(str, PurePosixPath(path).parents[:-1])):
            if spelled.setdefault(part.casefold(), part) != part:
                raise InputError(f"{part!r} and {spelled[part.casefold()]!r} differ only in case: rename one")
            if part != path and part.casefold() in files:
                raise InputError(f"{part!r} is both a file and a folder of the release: rename one")


def _check_file_path(path: str) -> None:
    for segment in path.split("/"):
        check_segment(segment, f"the file {path!r}")
    if len(path) > MAX_PATH:
        raise InputError(f"the file {path[:60]!r}... has a path of {len(path)} characters: at most {MAX_PATH}")
    if path.split("/", maxsplit=1)[0].casefold() == MANIFEST:
        raise InputError(f"the file {path!r} has the name of the manifest: rename it")
