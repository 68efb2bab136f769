"""Verdict event: whether a release was promoted, for whoever listens to the Prefect server.

What comes in: a published release and the comparison that decided on it. What it leaves: an event,
`spinneret.release.promoted` or `spinneret.release.refused`, which deployments/automations.yaml turns into a
notification. A server that is away does not get it, and the run goes on.
"""

from prefect.events import emit_event

from tasks.comparison import read_figures
from tasks.lineage import Release
from tasks.references import Comparison

PROMOTED, REFUSED = "spinneret.release.promoted", "spinneret.release.refused"


def tell_verdict(made: Release, comparison: Comparison) -> None:
    """Send the event; its payload has the version, whether it is the champion, and why, in one `text` for people."""
    reasons = read_figures(comparison).verdict.reasons
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
