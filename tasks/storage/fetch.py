"""Fetch a release into a folder, and trust no byte of it unseen.

What comes in: an open store, a name and an alias or version. What it leaves: a folder with exactly the files that the
manifest states, each with the stated sha256, or nothing. The way is alias, version, manifest (whose sha256 must be the
version), files into a hidden folder beside the target, rename. Nothing is listed on this way: a listing may be late.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from tasks.errors import InputError
from tasks.storage.aliases import list_aliases, read_alias
from tasks.storage.counting import Progress
from tasks.storage.download import download
from tasks.storage.manifest import Manifest, parse_manifest
from tasks.storage.names import MANIFEST, check_name, is_version
from tasks.storage.store import Store
from tasks.storage.versions import find_version, release_names


@dataclass(frozen=True)
class Fetched:
    """A release on disk, verified; `downloaded_bytes` is 0 if the folder was complete before."""

    version: str
    folder: Path
    files: int
    bytes: int
    downloaded_bytes: int


def resolve(store: Store, name: str, selector: str) -> str:
    """The version that an alias of `name` names, or that begins so; a version is its own answer.

    Nothing is listed but for an abbreviated version.

    Raises:
        InputError: there is no such alias or version, or the abbreviation fits several.
    """
    check_name(name)
    if is_version(selector):
        return selector
    alias = read_alias(store, name, selector)
    version = alias.version if alias else find_version(store, name, selector)
    if version is None:
        raise InputError(f"{store.place} has no release {name}@{selector}: {_what_there_is(store, name)}")
    return version


def _what_there_is(store: Store, name: str) -> str:
    """What to do where a release is not there; the aliases and the names that are."""
    if aliases := sorted(list_aliases(store, name)):
        return f"it has the aliases {', '.join(aliases)}"
    names = release_names(store)
    known = f"it has {', '.join(names)}" if names else "nothing is published there yet"
    return f"{known}; publish one with `python flows/train.py`, or correct the destination, the name or the alias"


def read_manifest(store: Store, name: str, version: str) -> Manifest:
    """The validated manifest of one version.

    Raises:
        InputError: there is none, it is damaged, or it belongs to another release.
    """
    with store.explained():
        data = store.read(store.key(check_name(name), "versions", version, MANIFEST))
    if data is None:
        raise InputError(f"{store.place} has no complete version {version} of {name}: publish it again")
    manifest = parse_manifest(data, version)
    if manifest.name != name:
        raise InputError(f"the manifest of {name}@{version} is of the release {manifest.name}: publish it again")
    return manifest


def fetch(  # noqa: PLR0913 what, from where, to where, how
    store: Store,
    name: str,
    selector: str,
    target: Path,
    *,
    replace: bool = False,
    on_progress: Progress | None = None,
) -> Fetched:
    """Bring release `name` at an alias or version to the folder `target`: whole and verified, or not at all.

    A target that is this version already, by the hash of every file, is not fetched again. Any other folder there that
    is not empty is an error, or with `replace` is replaced. `on_progress` is told bytes done and bytes in all.

    Raises:
        InputError: no such release, it is damaged, `target` is something else, or the disk is too small.
        UnavailableError: the store does not answer.
    """
    manifest = read_manifest(store, name, resolve(store, name, selector))
    difference = _difference(target, manifest)
    downloaded = 0
    if difference is not None:
        if target.is_symlink() or (target.exists() and not target.is_dir()):
            raise InputError(f"{target} is a link or a file: delete it or name another folder")
        if not replace and target.exists() and any(target.iterdir()):
            raise InputError(f"{target} is not {name}@{selector} ({difference}): delete it or name another folder")
        download(store, manifest, target, on_progress)
        downloaded = manifest.size
    return Fetched(manifest.version, target, len(manifest.files), manifest.size, downloaded)


def _difference(target: Path, manifest: Manifest) -> str | None:
    """How `target` differs from the release, None if it is exactly the release."""
    if not target.is_dir():
        return "it is a file" if target.exists() else "it does not exist"
    entries = [entry for entry in target.rglob("*") if entry.is_symlink() or not entry.is_dir()]
    for entry in sorted(entries):
        path = entry.relative_to(target).as_posix()
        if entry.is_symlink() or not entry.is_file() or path not in manifest.files:
            return f"{path} is not part of it"
    for path, stated in manifest.files.items():
        file = target / path
        if not file.is_file():
            return f"{path} is missing"
        if file.stat().st_size != stated.size or _sha256(file) != stated.sha256:
            return f"{path} has other bytes"
    return None


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
