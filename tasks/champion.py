"""Champion: the version that a new one has to beat.

What comes in: where releases are stored, and the weights that were just trained. What it leaves: the model that the
alias `champion` names, fetched and verified, or None. If the alias names exactly these weights (the same run again), it
is the version that the alias named before, so that both runs come to the same verdict.
"""

from typing import TYPE_CHECKING

from prefect import task

from tasks.errors import InputError
from tasks.parameters import ReleaseParameters
from tasks.registry.locate import CHAMPION, fetch_version, open_releases
from tasks.stage.caching import ASKS_STORE
from tasks.stage.references import ModelReference, Weights

if TYPE_CHECKING:
    from tasks.storage.store import Store


@task(name="find champion", **ASKS_STORE)
def find_champion(release: ReleaseParameters, weights: Weights, model_type: str) -> ModelReference | None:
    """The champion as a model whose `sha256` is its version; None if there is none or it is damaged."""
    with open_releases(release) as store:
        version = _version(store, release.name, weights)
        if version is None:
            print("champion: there is none yet; the challenger has to beat the base model")
            return None
        try:
            fetched = fetch_version(store, release.name, version)
        except InputError as error:
            print(f"champion: it cannot be compared ({error}); the challenger has to beat the base model")
            return None
    print(f"champion: {release.name}@{version[:12]}")
    return ModelReference.in_folder(fetched.folder, name=f"{release.name}@{version}", type=model_type, sha256=version)


def _version(store: "Store", name: str, weights: Weights) -> str | None:
    from tasks.storage.aliases import read_alias

    alias = read_alias(store, name, CHAMPION)
    if alias is None or not _holds(store, name, alias.version, weights):
        return None if alias is None else alias.version
    return None if alias.before is None else alias.before.version


def _holds(store: "Store", name: str, version: str, weights: Weights) -> bool:
    """Whether a version has exactly these weights."""
    from tasks.storage.fetch import read_manifest
    from tasks.storage.inventory import read_facts

    try:
        manifest = read_manifest(store, name, version)
    except InputError:
        return False
    with store.explain_errors():
        return read_facts(store, manifest).get("weights_sha256") == weights.model_sha256
