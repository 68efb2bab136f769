"""Release: weights, samples and parameters in, a version in the object store out; and back again.

What comes in: references to what the run made, and the parameters that made it. What it leaves: in the store an
immutable version that the alias `latest` names, and the alias `champion`, too, where the gate lets it. Fetched releases
lie in `data/releases/<version>/`, verified each time before they are used.
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks.caching import ASKS_STORE, retry_can_help
from tasks.lineage import Lineage, Release
from tasks.package import PUBLISHED, make_package, write_report
from tasks.parameters import ReleaseParameters, RunParameters
from tasks.progress_artifact import ProgressArtifact
from tasks.registry import CHAMPION
from tasks.run_artifacts import show
from tasks.settings import place_of, settings
from tasks.transfer_progress import transfer_bar
from tasks.verdict_event import tell_verdict

if TYPE_CHECKING:
    from tasks.storage.destination import Destination
    from tasks.storage.fetch import Fetched
    from tasks.storage.publish import Published
    from tasks.storage.store import Store

ALIAS = "latest"


@task(
    name="check destination",
    **ASKS_STORE,
)
def check_destination(release: ReleaseParameters) -> None:
    """Find out before anything is spent whether the store is there and lets us in."""
    from tasks.storage.destination import open_store

    with open_store(_destination(release.destination)):
        print(f"release: will be published as {latest(release)}")


@task(
    name="publish release",
    cache_policy=NO_CACHE,
    persist_result=False,
    retries=3,
    retry_delay_seconds=[2, 10, 30],
    retry_condition_fn=retry_can_help,
    retry_jitter_factor=0.5,
)
def publish_release(lineage: Lineage, told: RunParameters) -> Release:
    """Put the release together and push it over S3; what the store has already is not sent again."""
    from tasks.storage.destination import open_store
    from tasks.storage.publish import publish

    release = told.release
    package = make_package(lineage, told)
    meta = {"loss": lineage.weights.loss_after, "corpus": lineage.corpus.sha256}
    artifact, began = ProgressArtifact("publishing", "Bytes of the release"), time.monotonic()
    with open_store(_destination(release.destination), tell=_tell) as store, transfer_bar("publishing") as bar:

        def tell_progress(done: int, total: int) -> None:
            bar(done, total)
            artifact.update(done, total)

        published = publish(
            store, package.folder / PUBLISHED, release.name, (ALIAS,), meta=meta, on_progress=tell_progress
        )
        champion = lineage.comparison.promote and crown(store, release.name, published.version, meta)
    made = _made(release, published, champion=champion, seconds=time.monotonic() - began)
    print(f"release: {made.describe()}{', the champion now' if champion else ''}")
    write_report(lineage, told, made)
    tell_verdict(made, lineage.comparison)
    show("release", f"[{made.name}@{made.version[:12]}]({made.uri})", made.describe())
    return made


def _made(release: ReleaseParameters, published: "Published", *, champion: bool, seconds: float) -> Release:
    sent = ("version", "files", "bytes", "uploaded_files", "uploaded_bytes", "copied_files")
    return Release(
        name=release.name,
        destination=release.destination,
        uri=f"{latest(release).rpartition('@')[0]}@{published.version}",
        seconds=round(seconds, 1),
        champion=champion,
        **{name: getattr(published, name) for name in sent},
    )


def crown(store: "Store", name: str, version: str, meta: Mapping[str, Any]) -> bool:
    """Let `champion` name a version; not one that a person has rolled back from, which is told."""
    from tasks.storage.aliases import read_alias
    from tasks.storage.fetch import read_manifest
    from tasks.storage.promotion import promote

    alias = read_alias(store, name, CHAMPION)
    rolled_back = alias is not None and alias.version != version and alias.restores is not None
    if alias is not None and rolled_back and version in {move.version for move in alias.history}:
        print(
            f"release: {name}@{version[:12]} has been the champion and was rolled back, so it is not promoted again; "
            f"python flows/release.py promote {version[:12]} does it"
        )
        return False
    promote(store, read_manifest(store, name, version), CHAMPION, meta, check=False)
    return True


def fetch_release(reference: str) -> "Fetched":
    """Fetch `FOLDER/name@latest` or `s3://bucket/prefix/name@latest` into the data folder, verified.

    InputError where there is no such release, UnavailableError where the store does not answer.
    """
    with _resolved(reference) as (store, name, version):
        return fetch_version(store, name, version)


def find_version(reference: str) -> str:
    """The version that such a reference names now; errors as of `fetch_release`."""
    with _resolved(reference) as (_, _, version):
        return version


def fetch_version(store: "Store", name: str, version: str) -> "Fetched":
    """Fetch one version from an open store into the data folder, verified; errors as of `fetch_release`."""
    from tasks.storage.fetch import fetch

    return fetch(store, name, version, settings().data / "releases" / version, replace=True)


def latest(release: ReleaseParameters) -> str:
    """How the newest release of a name is called: `data/store/spinneret@latest`."""
    return f"{release.destination.rstrip('/')}/{release.name}@{ALIAS}"


@contextmanager
def _resolved(reference: str) -> Iterator[tuple["Store", str, str]]:
    """The open store, the name and the version that a reference names."""
    from tasks.storage.destination import open_store, parse_reference
    from tasks.storage.fetch import resolve

    found = parse_reference(reference)
    with open_store(_destination(str(found.destination)), must_exist=True) as store:
        yield store, found.name, resolve(store, found.name, found.selector)


def _tell(sentence: str) -> None:
    print(f"release: {sentence}")


def _destination(text: str) -> "Destination":
    from tasks.storage.destination import parse_destination

    return parse_destination(place_of(text))
