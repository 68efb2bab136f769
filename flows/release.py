"""Release: what can be done with releases once they are published. Command: `python flows/release.py list`.

What comes in: a verb, a release and where releases are. What it leaves: an answer, as a table or (`--json`) as one JSON
object; each verb is a flow, too, whose answer is an artifact in the Prefect UI. The command starts no server, and does
not even import Prefect, which alone takes two seconds: hence the import further down.
"""

from collections.abc import Callable

from flows.cli.command import run_verb
from tasks.registry import verbs
from tasks.registry.answers import Answer

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

if __name__ == "__main__":
    run_verb("release", VERBS)

from flows.cli.verb_flow import as_flow  # noqa: E402 not for the command

list_releases = as_flow("release-list", verbs.list_releases)
show = as_flow("release-show", verbs.show)
promote = as_flow("release-promote", verbs.promote)
rollback = as_flow("release-rollback", verbs.rollback)
fetch = as_flow("release-fetch", verbs.fetch)
verify = as_flow("release-verify", verbs.verify)
prune = as_flow("release-prune", verbs.prune)
abort_stale = as_flow("release-abort-stale", verbs.abort_stale)
