"""Unchanged: whether a run would only make the newest release once more.

What comes in: the parameters of a run. What it leaves: the release that they made already, or nothing. Nothing is made
or fetched for it: a release states the keys of its stages (`release.json`), and the same keys follow from the sources,
the parameters, the identity of the base model and the digests that the release states. So any machine finds out, also
one with an empty data folder, and a stage whose VERSION was raised counts as changed.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

from prefect import task
from prefect.context import FlowRunContext
from prefect.states import Completed
from pydantic import BaseModel, ConfigDict

from tasks.base_model import base_key, model_digest
from tasks.corpus import corpus_key
from tasks.observability.artifacts import show
from tasks.packaging.facts import gate_key
from tasks.parameters import SCRATCH_PRESETS, ModelParameters, RunParameters
from tasks.registry.locate import LATEST, latest, open_releases
from tasks.samples import samples_key
from tasks.stage.caching import ASKS_STORE
from tasks.tokens import tokens_key
from tasks.weights import weights_key

if TYPE_CHECKING:
    from tasks.storage.store import Store


class Unchanged(BaseModel):
    """The newest release, which a run would only have made again."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    destination: str
    """As the parameters had it."""
    version: str
    published_at: str
    """When the alias `latest` came to name it: UTC, ISO 8601."""

    def sentence(self) -> str:
        """What the run has to say."""
        return (
            f"unchanged since release {self.name}@{self.version[:12]} of {self.published_at}: corpus, parameters and "
            "base model are the same, so nothing was done; force trains anyway"
        )


@task(
    name="look for changes",
    **ASKS_STORE,
)
def find_unchanged(told: RunParameters) -> Unchanged | None:
    """The newest release, if corpus, parameters and base model are those that it was made of; says what changed.

    A base model that is that very release counts as the same: continual training waits for something new to learn.
    """
    release = told.release
    with open_releases(release) as store:
        newest = _newest(store, release.name)
    if newest is None:
        print(f"changes: there is no {latest(release)} yet")
        return None
    version, published_at, facts = newest
    changed = list(_changes(version, facts, told))
    if changed:
        print(f"changes: since {release.name}@{version[:12]}, {' and '.join(changed)} changed")
        return None
    found = Unchanged(name=release.name, destination=release.destination, version=version, published_at=published_at)
    print(f"changes: {found.sentence()}")
    uri = f"{latest(release).rpartition('@')[0]}@{version}"
    show("release", f"[{release.name}@{version[:12]}]({uri})", found.sentence())
    return found


def completed(unchanged: Unchanged) -> Unchanged:
    """What a flow that has nothing to do returns: a state, whose message is read in the list of runs.

    Prefect takes it for the end of the flow, and its data for the result.
    """
    return cast("Unchanged", Completed(message=unchanged.sentence(), data=unchanged))


def first_start() -> datetime:
    """When the flow run that calls this began for the first time: what is older was not made by it or a retry of it."""
    run = FlowRunContext.get()
    began = run.flow_run.start_time if run and run.flow_run else None
    return began or datetime.now(UTC)


def _newest(store: "Store", name: str) -> tuple[str, str, Mapping[str, Any]] | None:
    """Version, time and facts of the release that the alias `latest` names."""
    from tasks.storage.aliases import read_alias
    from tasks.storage.fetch import read_manifest
    from tasks.storage.survey import read_facts

    with store.explained():
        alias = read_alias(store, name, LATEST)
        if alias is None:
            return None
        return alias.version, alias.published_at, read_facts(store, read_manifest(store, name, alias.version))


def _changes(version: str, facts: Mapping[str, Any], told: RunParameters) -> Iterator[str]:
    """What is another than it was: each in a few words."""
    try:
        made = _Stated(facts)
    except (KeyError, TypeError) as error:
        yield f"nobody knows what (it does not state {error})"
        return
    training = told.training
    if corpus_key(told.corpus) != made.keys["corpus"]:
        yield "the corpus"
    if not _is_same_base(version, made, told.model, training.seed):
        yield "the base model"
    if tokens_key(made.corpus_sha256, made.base_sha256, told.tokens, training) != made.keys["tokens"]:
        yield "the cutting into tokens"
    if weights_key(made.tokens_sha256, made.base_sha256, training) != made.keys["weights"]:
        yield "the training"
    if samples_key(made.weights_sha256, made.corpus_sha256, told.sampling) != made.keys["samples"]:
        yield "the sampling"
    if gate_key(told.release) != made.keys["gate"]:
        yield "the gate"


class _Stated:
    """Keys and digests that a release states."""

    def __init__(self, facts: Mapping[str, Any]) -> None:
        self.keys: dict[str, str | None] = {
            name: facts["keys"][name] for name in ("corpus", "base", "tokens", "weights", "samples", "gate")
        }
        self.corpus_sha256: str = facts["corpus"]["sha256"]
        self.tokens_sha256: str = facts["tokens"]["sha256"]
        self.base_sha256: str = facts["base_model_sha256"]
        self.weights_sha256: str = facts["weights_sha256"]


def _is_same_base(version: str, made: _Stated, model: ModelParameters, seed: int) -> bool:
    key = base_key(made.corpus_sha256, model, seed) if model.name in SCRATCH_PRESETS else None
    if key is not None or made.keys["base"] is not None:
        return key == made.keys["base"]
    return model_digest(model) in {made.base_sha256, version}
