"""Verbs: list, show, promote, roll back, fetch, verify and prune releases; plain functions that ask only the store.

A release is an alias (`latest`, `champion`), a version or its first digits, NAME@ALIAS or DESTINATION/NAME@ALIAS.
`flows/release.py` turns these functions into commands and flows. Prefect is not imported: that alone takes two seconds.
"""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from tasks.observability.progress import transfer_bar
from tasks.parameters import ReleaseParameters
from tasks.registry.answers import (
    AbortResult,
    AliasEntry,
    FetchResult,
    ListResult,
    MoveResult,
    PruneResult,
    ShowResult,
    VerifyResult,
    VersionEntry,
)
from tasks.registry.locate import CHAMPION, open_releases, release_uri
from tasks.settings import resolve_destination

if TYPE_CHECKING:
    from tasks.storage.aliases import Alias
    from tasks.storage.inventory import Version
    from tasks.storage.store import Store


def list_releases(*, release: ReleaseParameters = ReleaseParameters()) -> ListResult:
    """List versions and aliases of a release, the newest version first.

    Args:
        release: Destination and name.
    """
    from tasks.storage.inventory import list_versions
    from tasks.storage.listing import release_names

    with _open(release) as store:
        found = list_versions(store, release.name)
        return ListResult(
            destination=release.destination,
            name=release.name,
            versions=tuple(map(_version_entry, found.versions)),
            aliases=tuple(_alias_entry(name, alias) for name, alias in found.aliases.items()),
            other_names=tuple(one for one in release_names(store) if one != release.name),
            incomplete=len(found.incomplete),
        )


def show(version: str = "latest", *, release: ReleaseParameters = ReleaseParameters()) -> ShowResult:
    """Show one version: its files and facts.

    Args:
        version: An alias, a version or its first digits, NAME@ALIAS or DESTINATION/NAME@ALIAS.
        release: Destination and name.
    """
    from tasks.storage.fetch import read_manifest, resolve
    from tasks.storage.inventory import read_version

    release, selector = _parse_selector(version, release)
    with _open(release) as store:
        found = read_version(store, release.name, resolve(store, release.name, selector))
        manifest = read_manifest(store, release.name, found.version)
    files = {path: (entry.size, entry.sha256) for path, entry in manifest.files.items()}
    return ShowResult(uri=release_uri(release, found.version), version=_version_entry(found), files=files)


def promote(version: str, *, alias: str = CHAMPION, release: ReleaseParameters = ReleaseParameters()) -> MoveResult:
    """Make an alias name a version.

    Args:
        version: An alias, a version or its first digits, NAME@ALIAS or DESTINATION/NAME@ALIAS.
        alias: The alias to move.
        release: Destination and name.
    """
    from tasks.storage.aliases import read_alias
    from tasks.storage.fetch import read_manifest, resolve
    from tasks.storage.promotion import promote as move

    release, selector = _parse_selector(version, release)
    with _open(release) as store:
        before = read_alias(store, release.name, alias)
        manifest = read_manifest(store, release.name, resolve(store, release.name, selector))
        after = move(store, manifest, alias)
    return _move_result(release.name, alias, after, moved=before is None or before.seq != after.seq)


def rollback(*, alias: str = CHAMPION, release: ReleaseParameters = ReleaseParameters()) -> MoveResult:
    """Make an alias name the version that it named before; called again, the one before that.

    Args:
        alias: The alias to roll back.
        release: Destination and name.
    """
    from tasks.storage.promotion import roll_back

    with _open(release) as store:
        return _move_result(release.name, alias, roll_back(store, release.name, alias), moved=True)


def fetch(version: str, folder: Path, *, release: ReleaseParameters = ReleaseParameters()) -> FetchResult:
    """Fetch a release into a folder: whole and verified, or not at all.

    Args:
        version: An alias, a version or its first digits, NAME@ALIAS or DESTINATION/NAME@ALIAS.
        folder: The folder to write; one that holds something else is refused.
        release: Destination and name.
    """
    from tasks.storage.fetch import fetch as fetch_folder

    release, selector = _parse_selector(version, release)
    with _open(release) as store, transfer_bar("fetching") as on_progress:
        fetched = fetch_folder(store, release.name, selector, folder.expanduser(), on_progress=on_progress)
    return FetchResult(
        name=release.name,
        version=fetched.version,
        folder=str(fetched.folder),
        files=fetched.files,
        bytes=fetched.bytes,
        downloaded_bytes=fetched.downloaded_bytes,
    )


def verify(version: str = "latest", *, release: ReleaseParameters = ReleaseParameters()) -> VerifyResult:
    """Read every byte of a release in the store and compare all hashes; a damaged file is an error.

    Args:
        version: An alias, a version or its first digits, NAME@ALIAS or DESTINATION/NAME@ALIAS.
        release: Destination and name.
    """
    from tasks.storage.fetch import read_manifest, resolve
    from tasks.storage.verify import verify as verify_files

    release, selector = _parse_selector(version, release)
    with _open(release) as store, transfer_bar("verifying") as on_progress:
        manifest = read_manifest(store, release.name, resolve(store, release.name, selector))
        verify_files(store, manifest, on_progress)
    return VerifyResult(name=release.name, version=manifest.version, files=len(manifest.files), bytes=manifest.size)


def prune(
    *,
    keep: Annotated[int, Field(ge=1)] = 10,
    dry_run: bool = True,
    release: ReleaseParameters = ReleaseParameters(),
) -> PruneResult:
    """Delete old versions; never one that an alias names or would go back to, or that is younger than 24 hours.

    Copies of stage folders that machines shared (`finetune_on`) are deleted at the same age.

    Args:
        keep: How many of the newest versions stay in any case.
        dry_run: Only print what would be deleted.
        release: Destination and name.
    """
    from tasks.storage.prune import prune as prune_versions

    with _open(release) as store:
        pruned = prune_versions(store, release.name, keep, dry_run=dry_run)
    return PruneResult(
        name=release.name,
        dry_run=dry_run,
        kept=pruned.kept,
        versions=tuple(map(_version_entry, pruned.versions)),
        leftovers=pruned.leftovers,
        stages=pruned.stages,
    )


def abort_stale(
    *,
    older_than_hours: Annotated[float, Field(ge=0)] = 24.0,
    dry_run: bool = False,
    release: ReleaseParameters = ReleaseParameters(),
) -> AbortResult:
    """Abort uploads that a killed publisher left unfinished: they are invisible, but the store charges for them.

    Args:
        older_than_hours: Younger uploads may still be running.
        dry_run: Only print what would be aborted.
        release: Destination and name.
    """
    from tasks.storage.uploads import abort_stale as abort_uploads

    with _open(release) as store:
        uploads = abort_uploads(store, release.name, older_than_hours, dry_run=dry_run)
    return AbortResult(
        name=release.name,
        dry_run=dry_run,
        older_than_hours=older_than_hours,
        uploads=tuple((one.key, one.started_at) for one in uploads),
    )


def _open(release: ReleaseParameters) -> AbstractContextManager["Store"]:
    return open_releases(release, must_exist=True, on_wait=print)


def _parse_selector(text: str, release: ReleaseParameters) -> tuple[ReleaseParameters, str]:
    """Destination and name of the release that `text` names (by default `release`), and the alias or version."""
    from tasks.storage.destination import parse_reference

    if "/" in text:
        parse_reference(resolve_destination(text))
        path, _, selector = text.rpartition("@")
        destination, _, name = path.rpartition("/")
        return ReleaseParameters(destination=destination or "/", name=name), selector
    name, at, selector = text.rpartition("@")
    return (release.model_copy(update={"name": name}) if at else release), selector


def _version_entry(version: "Version") -> VersionEntry:
    return VersionEntry(
        version=version.version,
        published_at=version.published_at,
        bytes=version.bytes,
        files=version.files,
        aliases=version.aliases,
        facts=dict(version.facts),
    )


def _alias_entry(name: str, alias: "Alias") -> AliasEntry:
    return AliasEntry(
        alias=name,
        version=alias.version,
        previous=alias.previous,
        seq=alias.seq,
        published_at=alias.published_at,
    )


def _move_result(name: str, alias: str, state: "Alias", *, moved: bool) -> MoveResult:
    return MoveResult(
        name=name, alias=alias, version=state.version, previous=state.previous, seq=state.seq, moved=moved
    )
