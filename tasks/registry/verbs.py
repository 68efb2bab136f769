"""Registry: what can be done with releases once they are published. No server is asked but the object store.

What comes in: a release as a person names it (`latest`, `champion`, the first digits of a version, NAME@ALIAS, or
DESTINATION/NAME@ALIAS) and where releases are. What it leaves: an answer. Flows and the command `python
flows/release.py` are made of these functions, so nothing here imports Prefect: that alone takes two seconds.
"""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from tasks.observability.progress import transfer_bar
from tasks.parameters import ReleaseParameters
from tasks.registry.locate import CHAMPION, open_releases
from tasks.registry.registry_answers import (
    Aborted,
    FetchedTo,
    ListedAlias,
    ListedVersion,
    Listing,
    Moved,
    PrunedAway,
    Shown,
    Verified,
)
from tasks.settings import place_of

if TYPE_CHECKING:
    from tasks.storage.store import Store
    from tasks.storage.survey import Version


def list_releases(*, release: ReleaseParameters = ReleaseParameters()) -> Listing:
    """List versions and aliases of a release, the newest version first.

    Args:
        release: Where releases are, and which one.
    """
    from tasks.storage.survey import survey
    from tasks.storage.versions import release_names

    with _open(release) as store:
        found = survey(store, release.name)
        return Listing(
            destination=release.destination,
            name=release.name,
            versions=tuple(map(_listed, found.versions)),
            aliases=tuple(
                ListedAlias(
                    alias=name,
                    version=said.version,
                    previous=said.previous,
                    seq=said.seq,
                    published_at=said.published_at,
                )
                for name, said in found.aliases.items()
            ),
            other_names=tuple(one for one in release_names(store) if one != release.name),
            incomplete=len(found.incomplete),
        )


def show(version: str = "latest", *, release: ReleaseParameters = ReleaseParameters()) -> Shown:
    """Show one version: its files and what it states of itself.

    Args:
        version: An alias, a version or its first digits, NAME@ALIAS or DESTINATION/NAME@ALIAS.
        release: Where releases are, and which one.
    """
    from tasks.storage.fetch import read_manifest, resolve
    from tasks.storage.survey import look

    place, selector = _find(version, release)
    with _open(place) as store:
        found = look(store, place.name, resolve(store, place.name, selector))
        manifest = read_manifest(store, place.name, found.version)
    files = {path: (entry.size, entry.sha256) for path, entry in manifest.files.items()}
    uri = f"{place.destination.rstrip('/')}/{place.name}@{found.version}"
    return Shown(uri=uri, version=_listed(found), files=files)


def promote(version: str, *, alias: str = CHAMPION, release: ReleaseParameters = ReleaseParameters()) -> Moved:
    """Let an alias name a version.

    Args:
        version: An alias, a version or its first digits, NAME@ALIAS or DESTINATION/NAME@ALIAS.
        alias: The alias to move.
        release: Where releases are, and which one.
    """
    from tasks.storage.aliases import read_alias
    from tasks.storage.fetch import read_manifest, resolve
    from tasks.storage.promotion import promote as move

    place, selector = _find(version, release)
    with _open(place) as store:
        before = read_alias(store, place.name, alias)
        manifest = read_manifest(store, place.name, resolve(store, place.name, selector))
        said = move(store, manifest, alias)
    return Moved(
        name=place.name,
        alias=alias,
        version=said.version,
        previous=said.previous,
        seq=said.seq,
        moved=before is None or before.seq != said.seq,
    )


def rollback(*, alias: str = CHAMPION, release: ReleaseParameters = ReleaseParameters()) -> Moved:
    """Let an alias name the version that it named before; again, the one before that.

    Args:
        alias: The alias to roll back.
        release: Where releases are, and which one.
    """
    from tasks.storage.promotion import go_back

    with _open(release) as store:
        said = go_back(store, release.name, alias)
    return Moved(name=release.name, alias=alias, version=said.version, previous=said.previous, seq=said.seq, moved=True)


def fetch(version: str, folder: Path, *, release: ReleaseParameters = ReleaseParameters()) -> FetchedTo:
    """Fetch a release into a folder: whole and verified, or not at all.

    Args:
        version: An alias, a version or its first digits, NAME@ALIAS or DESTINATION/NAME@ALIAS.
        folder: Where it shall lie; a folder that holds something else is refused.
        release: Where releases are, and which one.
    """
    from tasks.storage.fetch import fetch as bring

    place, selector = _find(version, release)
    with _open(place) as store, transfer_bar("fetching") as told:
        fetched = bring(store, place.name, selector, folder.expanduser(), on_progress=told)
    return FetchedTo(
        name=place.name,
        version=fetched.version,
        folder=str(fetched.folder),
        files=fetched.files,
        bytes=fetched.bytes,
        downloaded_bytes=fetched.downloaded_bytes,
    )


def verify(version: str = "latest", *, release: ReleaseParameters = ReleaseParameters()) -> Verified:
    """Read every byte of a release where it lies, and compare all hashes; what is damaged is an error.

    Args:
        version: An alias, a version or its first digits, NAME@ALIAS or DESTINATION/NAME@ALIAS.
        release: Where releases are, and which one.
    """
    from tasks.storage.fetch import read_manifest, resolve
    from tasks.storage.verify import verify as check

    place, selector = _find(version, release)
    with _open(place) as store, transfer_bar("verifying") as told:
        manifest = read_manifest(store, place.name, resolve(store, place.name, selector))
        check(store, manifest, told)
    return Verified(name=place.name, version=manifest.version, files=len(manifest.files), bytes=manifest.size)


def prune(
    *,
    keep: Annotated[int, Field(ge=1)] = 10,
    dry_run: bool = True,
    release: ReleaseParameters = ReleaseParameters(),
) -> PrunedAway:
    """Delete old versions; never one that an alias names or would go back to, or that is younger than 24 hours.

    Copies of stage folders that machines shared (`finetune_on`) go, too, once they are as old.

    Args:
        keep: How many of the newest versions stay in any case.
        dry_run: Only say what would be deleted.
        release: Where releases are, and which one.
    """
    from tasks.storage.prune import prune as remove

    with _open(release) as store:
        pruned = remove(store, release.name, keep, dry_run=dry_run)
    return PrunedAway(
        name=release.name,
        dry_run=dry_run,
        kept=pruned.kept,
        versions=tuple(map(_listed, pruned.versions)),
        leftovers=pruned.leftovers,
        stages=pruned.stages,
    )


def abort_stale(
    *,
    older_than_hours: Annotated[float, Field(ge=0)] = 24.0,
    dry_run: bool = False,
    release: ReleaseParameters = ReleaseParameters(),
) -> Aborted:
    """Abort uploads that a killed publisher left unfinished: nobody sees them, and they are paid for.

    Args:
        older_than_hours: Younger ones may still be going on.
        dry_run: Only say what would be aborted.
        release: Where releases are, and which one.
    """
    from tasks.storage.uploads import abort_stale as abort

    with _open(release) as store:
        uploads = abort(store, release.name, older_than_hours, dry_run=dry_run)
    return Aborted(
        name=release.name,
        dry_run=dry_run,
        older_than_hours=older_than_hours,
        uploads=tuple((one.key, one.started_at) for one in uploads),
    )


def _open(release: ReleaseParameters) -> AbstractContextManager["Store"]:
    return open_releases(release, must_exist=True, on_wait=print)


def _find(text: str, release: ReleaseParameters) -> tuple[ReleaseParameters, str]:
    """Where the release is that a person named, and its alias or version."""
    from tasks.storage.destination import parse_reference

    if "/" in text:
        parse_reference(place_of(text))
        where, _, selector = text.rpartition("@")
        destination, _, name = where.rpartition("/")
        return ReleaseParameters(destination=destination or "/", name=name), selector
    name, at, selector = text.rpartition("@")
    return (release.model_copy(update={"name": name}) if at else release), selector


def _listed(found: "Version") -> ListedVersion:
    return ListedVersion(**{**vars(found), "facts": dict(found.facts)})
