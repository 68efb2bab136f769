"""Stage folders that travel between machines through the object store, under the same keys as in `data/`.

They are stored below `stages/<stage>/<key>/` of the destination. A folder that this machine has is not fetched, and a
folder that the store has is not sent again.
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
    """Copy the folder of a reference to the store, unless the store has a whole copy.

    Raises:
        InputError: the store denies access.
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
    """The reference of a key, from this machine or else from the store; None if neither has a whole folder.

    Raises:
        InputError: the copy is damaged, the store denies access, or the disk is full.
        UnavailableError: the store does not answer.
    """
    found = kind.find(key)
    if found is not None:
        return found
    with _copy(kind, key, release) as copy:
        if copy.manifest() is None:
            return None
        make_folder(kind.folder_of(key), partial(_fetch, copy), timed=True)
        print(f"{kind.stage}: fetched from {copy}")
    return kind.find(key)


def obtain_same(kind: type[Reference], key: str, sha256: str, release: ReleaseParameters) -> None:
    """Make sure that this machine has the folder that another machine made; raises like `obtain`.

    Also raises InputError if neither this machine nor the store has it, or if its content differs.
    """
    found = obtain(kind, key, release)
    if found is None:
        raise InputError(
            f"{kind.stage} {key[:12]} is neither on this machine nor in {release.destination}; set "
            "release.destination to an object store that both machines reach (s3://bucket/prefix), and run again"
        )
    if found.sha256 != sha256:
        raise InputError(
            f"{found.folder} has different content than on the machine that made it; remove one of the two folders, "
            "and run again"
        )


def share_model(model: ModelReference, release: ReleaseParameters) -> None:
    """Make a base model available to another machine: a preset is copied; a hub id or a release is fetched there.

    Raises InputError for a folder of this machine.
    """
    if model.preset_key is not None:
        found = Base.find(model.preset_key)
        if found is not None:
            share(found, release)
    elif model.path is not None and not _is_release(model):
        raise InputError(
            f"--model.name {model.name} is a folder of this machine, but another machine fine-tunes; use a hub id or a "
            "release, or publish the folder first"
        )


def obtain_model(model: ModelReference, release: ReleaseParameters) -> None:
    """Make sure that this machine has a base model that another machine shared; raises like `obtain_same`."""
    if model.preset_key is not None:
        obtain_same(Base, model.preset_key, model.sha256, release)
    elif _is_release(model):
        fetch_release(f"{model.name.rpartition('@')[0]}@{model.sha256}")


def forget(kind: type[Reference], key: str, release: ReleaseParameters, not_before: datetime) -> None:
    """Remove the folder of a key, here and in the store, if it was made before `not_before`."""
    remove_older(kind.folder_of(key), not_before)
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
