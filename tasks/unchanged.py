"""Unchanged: whether a run would only make the newest release again.

What comes in: the parameters of a run. What it leaves: the newest release if it has the same parameters, or None.
Nothing is made or fetched: a release states the keys of its stages (`release.json`), and the same keys follow from the
sources, the parameters, the identity of the base model and the digests in the release. This works on any machine, even
with an empty data folder, and a stage whose VERSION was raised counts as changed.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
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
from tasks.registry.locate import LATEST, latest, open_releases, release_uri
from tasks.samples import samples_key
from tasks.stage.caching import ASKS_STORE
from tasks.tokens import tokens_key
from tasks.weights import weights_key

if TYPE_CHECKING:
    from tasks.storage.store import Store


class Unchanged(BaseModel):
    """The newest release, where a run would only make it again."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    destination: str
    """As in the parameters."""
    version: str
    published_at: str
    """When the alias `latest` was moved to it: UTC, ISO 8601."""

    def sentence(self) -> str:
        """The message of the run."""
        return (
            f"unchanged since release {self.name}@{self.version[:12]} of {self.published_at}: corpus, parameters and "
            "base model are the same, so nothing was done; force trains anyway"
        )


@task(name="look for changes", **ASKS_STORE)
def find_unchanged(parameters: RunParameters) -> Unchanged | None:
    """The newest release if corpus, parameters and base model are unchanged since; otherwise logs what changed.

    A base model that is this release itself counts as unchanged: continual training waits for new documents.
    """
    release = parameters.release
    with open_releases(release) as store:
        newest = _newest(store, release.name)
    if newest is None:
        print(f"changes: there is no {latest(release)} yet")
        return None
    version, published_at, facts = newest
    changed = list(_changes(version, facts, parameters))
    if changed:
        print(f"changes: since {release.name}@{version[:12]}, {' and '.join(changed)} changed")
        return None
    found = Unchanged(name=release.name, destination=release.destination, version=version, published_at=published_at)
    print(f"changes: {found.sentence()}")
    show("release", f"[{release.name}@{version[:12]}]({release_uri(release, version)})", found.sentence())
    return found


def completed(unchanged: Unchanged) -> Unchanged:
    """The final state of a flow that has nothing to do: the UI displays its message, and its data is the result."""
    return cast("Unchanged", Completed(message=unchanged.sentence(), data=unchanged))


def first_start() -> datetime:
    """When this flow run first began: older folders were made neither by it nor by a retry of it."""
    run = FlowRunContext.get()
    began = run.flow_run.start_time if run and run.flow_run else None
    return began or datetime.now(UTC)


def _newest(store: "Store", name: str) -> tuple[str, str, Mapping[str, Any]] | None:
    """Version, time and facts of the release that the alias `latest` names."""
    from tasks.storage.aliases import read_alias
    from tasks.storage.fetch import read_manifest
    from tasks.storage.inventory import read_facts

    with store.explain_errors():
        alias = read_alias(store, name, LATEST)
        if alias is None:
            return None
        return alias.version, alias.published_at, read_facts(store, read_manifest(store, name, alias.version))


def _changes(version: str, facts: Mapping[str, Any], parameters: RunParameters) -> Iterator[str]:
    """What has changed since a release: each in a few words."""
    try:
        recorded = _Recorded.read(facts)
    except (KeyError, TypeError) as error:
        yield f"something unknown (the release does not state {error})"
        return
    training = parameters.training
    if corpus_key(parameters.corpus) != recorded.keys["corpus"]:
        yield "the corpus"
    if not _is_same_base(version, recorded, parameters.model, training.seed):
        yield "the base model"
    if tokens_key(recorded.corpus_sha256, recorded.base_sha256, parameters.tokens, training) != recorded.keys["tokens"]:
        yield "the tokenization"
    if weights_key(recorded.tokens_sha256, recorded.base_sha256, training) != recorded.keys["weights"]:
        yield "the training"
    if samples_key(recorded.weights_sha256, recorded.corpus_sha256, parameters.sampling) != recorded.keys["samples"]:
        yield "the sampling"
    if gate_key(parameters.release) != recorded.keys["gate"]:
        yield "the gate"


@dataclass(frozen=True)
class _Recorded:
    """Keys and digests in the `release.json` of a release."""

    keys: Mapping[str, str | None]
    corpus_sha256: str
    tokens_sha256: str
    base_sha256: str
    weights_sha256: str

    @classmethod
    def read(cls, facts: Mapping[str, Any]) -> "_Recorded":
        """Raises KeyError or TypeError where the facts are incomplete."""
        return cls(
            keys={name: facts["keys"][name] for name in ("corpus", "base", "tokens", "weights", "samples", "gate")},
            corpus_sha256=facts["corpus"]["sha256"],
            tokens_sha256=facts["tokens"]["sha256"],
            base_sha256=facts["base_model_sha256"],
            weights_sha256=facts["weights_sha256"],
        )


def _is_same_base(version: str, recorded: _Recorded, model: ModelParameters, seed: int) -> bool:
    key = base_key(recorded.corpus_sha256, model, seed) if model.name in SCRATCH_PRESETS else None
    if key is not None or recorded.keys["base"] is not None:
        return key == recorded.keys["base"]
    return model_digest(model) in {recorded.base_sha256, version}
