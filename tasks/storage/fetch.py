"""Fetches a release into a folder: whole, with the size and sha256 of every file verified, or not at all.

The order is alias, version, manifest (whose sha256 must be the version), files. Nothing is listed: a listing may be
outdated.
"""

from dataclasses import dataclass
from pathlib import Path

from tasks.errors import InputError
from tasks.stage.folders import file_digest
from tasks.storage.aliases import list_aliases, read_alias
from tasks.storage.counting import Progress
from tasks.storage.download import download
from tasks.storage.listing import find_version, release_names
from tasks.storage.manifest import Manifest, parse_manifest
from tasks.storage.names import MANIFEST, check_name, is_version
from tasks.storage.store import Store


@dataclass(frozen=True)
class Fetched:
    """A verified release on disk; `downloaded_bytes` is 0 if the folder was complete before."""

    version: str
    folder: Path
    files: int
    bytes: int
    downloaded_bytes: int


def resolve(store: Store, name: str, selector: str) -> str:
    """The version that `selector` means: an alias of `name`, a version, or the first digits of one.

    Only abbreviated versions need a listing.

    Raises:
        InputError: there is no such alias or version, or the abbreviation fits several.
    """
    check_name(name)
    if is_version(selector):
        return selector
    alias = read_alias(store, name, selector)
    version = alias.version if alias else find_version(store, name, selector)
    if version is None:
        raise InputError(f"{store.location} has no release {name}@{selector}: {_alternatives(store, name)}")
    return version


def _alternatives(store: Store, name: str) -> str:
    """The aliases or names that exist instead, and what to do."""
    if aliases := sorted(list_aliases(store, name)):
        return f"it has the aliases {', '.join(aliases)}"
    names = release_names(store)
    known = f"it has {', '.join(names)}" if names else "nothing is published there yet"
    return f"{known}; publish one with `python flows/train.py`, or correct the destination, the name or the alias"


def read_manifest(store: Store, name: str, version: str) -> Manifest:
    """The validated manifest of one version.

    Raises:
        InputError: there is none, it is damaged, or it is of another release.
    """
    with store.explain_errors():
        data = store.read(store.key(check_name(name), "versions", version, MANIFEST))
    if data is None:
        raise InputError(f"{store.location} has no complete version {version} of {name}: publish it again")
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
    """Fetch release `name` at an alias or version into the folder `target`: whole and verified, or not at all.

    A target that is this version already, by the hash of every file, is not fetched again. Any other non-empty folder
    is an error, or is replaced with `replace`.

    Raises:
        InputError: no such release, it is damaged, `target` holds something else, or the disk is too small.
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
    """How `target` differs from the release, None if it does not."""
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
        if file.stat().st_size != stated.size or file_digest(file) != stated.sha256:
            return f"{path} has other bytes"
    return None
