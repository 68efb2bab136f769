"""Release: what can be done with published releases. Command: `python flows/release.py list`.

What comes in: a verb, a release and where releases are. What it leaves: an answer, as a table or (`--json`) as one JSON
object. The command starts no server and does not import Prefect, which alone takes two seconds. Each verb is a flow as
well, whose answer is an artifact in the Prefect UI.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from flows.cli.command import run_verb
from tasks.registry import verbs
from tasks.registry.answers import Answer

if TYPE_CHECKING:
    from prefect import Flow

VERBS: dict[str, Callable[..., Answer]] = {
    "list": verbs.list_releases,
    "show": verbs.show,
    "promote": verbs.promote,
    "rollback": verbs.rollback,
    "fetch": verbs.fetch,
    "verify": verbs.verify,
    "prune": verbs.prune,
    "abort-stale": verbs.abort_stale,
}


def __getattr__(name: str) -> "Flow[..., Answer]":
    """The flow of a verb, made when Prefect loads a deployment's entrypoint, as `flows/release.py:abort_stale`."""
    for verb, function in VERBS.items():
        if function.__name__ == name:
            from flows.cli.verb_flow import as_flow

            return as_flow(f"release-{verb}", function)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


if __name__ == "__main__":
    run_verb("release", VERBS)
