"""Release: weights, samples and parameters in, a version in the object store out; and back again.

What comes in: references to what the run made, and the parameters that made it. What it leaves: in the store an
immutable version that the alias `latest` names, and the alias `champion`, too, where the gate lets it. Fetched releases
lie in `data/releases/<version>/`, verified each time before they are used.
"""

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.events import emit_event

from tasks.observability.artifacts import show
from tasks.observability.progress import ProgressArtifact, transfer_bar
from tasks.packaging.package import PUBLISHED, make_package, write_report
from tasks.parameters import ReleaseParameters, RunParameters
from tasks.registry.locate import CHAMPION, LATEST, latest, open_releases
from tasks.stage.caching import ASKS_STORE, retry_can_help
from tasks.stage.contents import read_comparison
from tasks.stage.lineage import Lineage, Release
from tasks.stage.references import Comparison

if TYPE_CHECKING:
    from tasks.storage.publish import Published
    from tasks.storage.store import Store

PROMOTED, REFUSED = "spinneret.release.promoted", "spinneret.release.refused"
"""Events, which deployments/automations.yaml turns into notifications."""


@task(
    name="check destination",
    **ASKS_STORE,
)
def check_destination(release: ReleaseParameters) -> None:
    """Find out before anything is spent whether the store is there and lets us in."""
    with open_releases(release):
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
    from tasks.storage.publish import publish

    release = told.release
    package = make_package(lineage, told)
    meta = {"loss": lineage.weights.loss_after, "corpus": lineage.corpus.sha256}
    artifact, began = ProgressArtifact("publishing", "Bytes of the release"), time.monotonic()
    with open_releases(release, on_wait=_log_wait) as store, transfer_bar("publishing") as bar:

        def tell_progress(done: int, total: int) -> None:
            bar(done, total)
            artifact.update(done, total)

        published = publish(
            store, package.folder / PUBLISHED, release.name, (LATEST,), meta=meta, on_progress=tell_progress
        )
        champion = lineage.comparison.promote and crown(store, release.name, published.version, meta)
    made = _made(release, published, champion=champion, seconds=time.monotonic() - began)
    print(f"release: {made.describe()}{', the champion now' if champion else ''}")
    write_report(lineage, told, made)
    _emit_verdict(made, lineage.comparison)
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


def _emit_verdict(made: Release, comparison: Comparison) -> None:
    """Send an event with the version, whether it is the champion, and why, in one `text` for people.

    A server that is away does not get it, and the run goes on.
    """
    reasons = read_comparison(comparison).verdict.reasons
    verdict = "is the champion now" if made.champion else "is published and does not become the champion"
    emit_event(
        PROMOTED if made.champion else REFUSED,
        resource={
            "prefect.resource.id": f"spinneret.release.{made.name}.{made.version}",
            "prefect.resource.name": f"{made.name}@{made.version[:12]}",
        },
        payload={
            "name": made.name,
            "version": made.version,
            "uri": made.uri,
            "champion": made.champion,
            "reasons": list(reasons),
            "text": f"{made.name}@{made.version[:12]} {verdict}: {' '.join(reasons)}",
        },
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


def _log_wait(sentence: str) -> None:
    print(f"release: {sentence}")
