"""Sharing: stage folders travel between machines through the object store, under the keys that they have in `data/`.

What comes in: references, and where releases go. What it leaves: copies of their folders below `stages/<stage>/<key>/`
of the destination, or the folders on this machine, fetched and verified. A reference that is here already costs
nothing; what the store has already is not sent again.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from tasks.errors import InputError
from tasks.observability.progress import transfer_bar
from tasks.parameters import ReleaseParameters
from tasks.registry.locate import fetch_release, open_releases
from tasks.stage.folders import Facts, make_folder, remove_older
from tasks.stage.references import Base, ModelReference, Reference

if TYPE_CHECKING:
    from tasks.storage.folder_copies import FolderCopy

R = TypeVar("R", bound=Reference)


def share(reference: Reference, release: ReleaseParameters) -> None:
    """Copy the folder of a reference to the store, unless a whole copy is there.

    Raises:
        InputError: the store refuses.
        UnavailableError: the store does not answer.
    """
    from tasks.storage.counting import counter

    with _copy(type(reference), reference.key, release) as copy:
        if not copy.touch():
            with transfer_bar(f"sharing {reference.stage}") as bar:
                total = sum(path.stat().st_size for path in reference.folder.rglob("*") if path.is_file())
                copy.send(reference.folder, counter(total, bar), replace=False)
            print(f"{reference.stage}: shared as {copy}")


def obtain(kind: type[R], key: str, release: ReleaseParameters) -> R | None:
    """The reference of a key, from this machine or else from the store; None where neither has a whole folder.

    Raises:
        InputError: the copy is damaged, the store refuses, or the disk is full.
        UnavailableError: the store does not answer.
    """
    found = kind.find(key)
    if found is not None:
        return found
    with _copy(kind, key, release) as copy:
        if copy.manifest() is None:
            return None
        make_folder(kind.place(key), partial(_fetch, copy), timed=True)
        print(f"{kind.stage}: fetched from {copy}")
    return kind.find(key)


def obtain_same(kind: type[Reference], key: str, sha256: str, release: ReleaseParameters) -> None:
    """Bring the folder of a key that another machine made to this one; errors as of `obtain`.

    InputError too, where it is nowhere.
    """
    found = obtain(kind, key, release)
    if found is None:
        raise InputError(
            f"{kind.stage} {key[:12]} is neither on this machine nor in {release.destination}; let "
            "release.destination name an object store that both machines reach (s3://bucket/prefix), and run again"
        )
    if found.sha256 != sha256:
        raise InputError(
            f"{found.folder} has other content than where it was made; remove it, there or here, and run again"
        )


def share_model(model: ModelReference, release: ReleaseParameters) -> None:
    """Let another machine have a base model: a preset is copied, a hub id or a release it fetches itself.

    InputError for a folder that has no place but this machine.
    """
    if model.preset_key is not None:
        found = Base.find(model.preset_key)
        if found is not None:
            share(found, release)
    elif model.path is not None and not _is_release(model):
        raise InputError(
            f"--model.name {model.name} is a folder of this machine, and another one fine-tunes; name a hub id or a "
            "release, or publish the folder first"
        )


def obtain_model(model: ModelReference, release: ReleaseParameters) -> None:
    """Bring a base model that another machine shared to this one; errors as of `obtain_same`."""
    if model.preset_key is not None:
        obtain_same(Base, model.preset_key, model.sha256, release)
    elif _is_release(model):
        fetch_release(f"{model.name.rpartition('@')[0]}@{model.sha256}")


def forget(kind: type[Reference], key: str, release: ReleaseParameters, not_before: datetime) -> None:
    """Remove the folder of a key that was made before a time, here and in the store."""
    remove_older(kind.place(key), not_before)
    with _copy(kind, key, release) as copy:
        copy.delete_older(not_before)


def _is_release(model: ModelReference) -> bool:
    return model.path is not None and Path(model.path).parts[:1] == ("releases",)


@contextmanager
def _copy(kind: type[Reference], key: str, release: ReleaseParameters) -> "Iterator[FolderCopy]":
    from tasks.storage.folder_copies import STAGES, FolderCopy

    with open_releases(release) as store, store.explain_errors():
        yield FolderCopy(store, (STAGES, kind.stage, key))


def _fetch(copy: "FolderCopy", folder: Path) -> Facts:
    with transfer_bar(f"fetching {copy.parts[-2]}") as bar:
        return copy.fetch(folder, bar)
