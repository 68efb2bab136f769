"""Release: publishes weights, samples and parameters as a version in the object store.

What comes in: references to what the run made, and its parameters. What it leaves: an immutable version in the store,
the alias `latest` on it, and the alias `champion` too if the gate allows it.
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
from tasks.registry.locate import CHAMPION, LATEST, latest, open_releases, release_uri
from tasks.stage.caching import ASKS_STORE, retry_can_help
from tasks.stage.contents import read_comparison
from tasks.stage.lineage import Lineage, Release
from tasks.stage.references import Comparison

if TYPE_CHECKING:
    from tasks.storage.publish import Published
    from tasks.storage.store import Store

PROMOTED, REFUSED = "spinneret.release.promoted", "spinneret.release.refused"
"""Names of the events that deployments/automations.yaml turns into notifications."""


@task(name="check destination", **ASKS_STORE)
def check_destination(release: ReleaseParameters) -> None:
    """Check early in a run that the store exists and that the credentials are accepted."""
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
def publish_release(lineage: Lineage, parameters: RunParameters) -> Release:
    """Build the release and upload it; files that the store holds already are not sent again."""
    from tasks.storage.publish import publish

    release = parameters.release
    package = make_package(lineage, parameters)
    meta = {"loss": lineage.weights.loss_after, "corpus": lineage.corpus.sha256}
    artifact, began = ProgressArtifact("publishing", "Bytes of the release"), time.monotonic()
    with (
        open_releases(release, on_wait=lambda message: print(f"release: {message}")) as store,
        transfer_bar("publishing") as bar,
    ):

        def on_progress(done: int, total: int) -> None:
            bar(done, total)
            artifact.update(done, total)

        published = publish(
            store, package.folder / PUBLISHED, release.name, (LATEST,), meta=meta, on_progress=on_progress
        )
        champion = lineage.comparison.promote and promote_to_champion(store, release.name, published.version, meta)
    made = _reference(release, published, champion=champion, seconds=time.monotonic() - began)
    print(f"release: {made.describe()}{', the champion now' if champion else ''}")
    write_report(lineage, parameters, made)
    _emit_verdict(made, lineage.comparison)
    show("release", f"[{made.name}@{made.version[:12]}]({made.uri})", made.describe())
    return made


def _reference(release: ReleaseParameters, published: "Published", *, champion: bool, seconds: float) -> Release:
    return Release(
        name=release.name,
        destination=release.destination,
        version=published.version,
        uri=release_uri(release, published.version),
        files=published.files,
        bytes=published.bytes,
        uploaded_files=published.uploaded_files,
        uploaded_bytes=published.uploaded_bytes,
        copied_files=published.copied_files,
        seconds=round(seconds, 1),
        champion=champion,
    )


def _emit_verdict(made: Release, comparison: Comparison) -> None:
    """Emit an event with the verdict; its `text` is one sentence for a notification.

    The run continues if the server is not available.
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


def promote_to_champion(store: "Store", name: str, version: str, meta: Mapping[str, Any]) -> bool:
    """Move `champion` to a version, and return True; False, with a log line, if a person rolled back from it."""
    from tasks.storage.aliases import read_alias
    from tasks.storage.fetch import read_manifest
    from tasks.storage.promotion import promote

    alias = read_alias(store, name, CHAMPION)
    rolled_back = alias is not None and alias.version != version and alias.restores is not None
    if alias is not None and rolled_back and version in {move.version for move in alias.history}:
        print(
            f"release: {name}@{version[:12]} was rolled back from champion, so it is not promoted again; "
            f"promote it with: python flows/release.py promote {version[:12]}"
        )
        return False
    promote(store, read_manifest(store, name, version), CHAMPION, meta, check=False)
    return True
