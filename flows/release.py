"""Release: what can be done with releases once they are published. Command: `python flows/release.py list`.

What comes in: a verb, a release and where releases are. What it leaves: an answer, as a table or (`--json`) as one JSON
object; each verb is a flow, too, whose answer is an artifact in the Prefect UI. The command starts no server, and does
not even import Prefect, which alone takes two seconds: hence the import further down.
"""

from collections.abc import Callable

from flows.command import run_verb
from tasks import registry
from tasks.answers import Answer

VERBS: dict[str, Callable[..., Answer]] = {
    "list": registry.list_releases,
    "show": registry.show,
    "promote": registry.promote,
    "rollback": registry.rollback,
    "fetch": registry.fetch,
    "verify": registry.verify,
    "prune": registry.prune,
    "abort-stale": registry.abort_stale,
}

if __name__ == "__main__":
    run_verb("release", VERBS)

from flows.verb_flow import as_flow  # noqa: E402 not for the command

list_releases = as_flow("list", registry.list_releases)
show = as_flow("show", registry.show)
promote = as_flow("promote", registry.promote)
rollback = as_flow("rollback", registry.rollback)
fetch = as_flow("fetch", registry.fetch)
verify = as_flow("verify", registry.verify)
prune = as_flow("prune", registry.prune)
abort_stale = as_flow("abort-stale", registry.abort_stale)
