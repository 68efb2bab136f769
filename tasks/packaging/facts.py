"""The facts of a release: the content of `release.json`, from which the model card and the listings are made."""

from pathlib import Path
from typing import Any

from tasks.parameters import ReleaseParameters
from tasks.settings import ROOT
from tasks.stage.contents import read_environment
from tasks.stage.folders import digest
from tasks.stage.lineage import Lineage

_SPEEDS = ("tokens_per_second",)


def describe_release(lineage: Lineage, release: ReleaseParameters) -> dict[str, Any]:
    """JSON values: the figures of a release, and the keys of its stages, by which a later run sees what has changed.

    There is no path, no time and nothing else that a second run with the same inputs would change.
    """
    base, corpus, tokens, weights = lineage.base, lineage.corpus, lineage.tokens, lineage.weights
    before, after = lineage.before, lineage.after
    counts = corpus.model_dump(include={"documents", "train_documents", "eval_documents", "duplicates", "derivations"})
    blocks = {"block_size", "train_blocks", "eval_blocks", "train_tokens", "eval_tokens"}
    trained = {"steps", "epochs", "best_step", "precision", "processes", "loss_before", "loss_after"}
    return {
        "base_model": portable(base.name),
        "base_model_revision": base.revision,
        "base_model_sha256": base.sha256,
        "corpus": {"sha256": corpus.sha256, **counts},
        "tokens": {"sha256": tokens.sha256, **tokens.model_dump(include=blocks)},
        "weights_sha256": weights.model_sha256,
        **weights.model_dump(include=trained),
        "loss_floor": lineage.report.floor,
        "perplexity": weights.perplexity,
        "nats_per_document": weights.nats_per_document,
        "keys": {
            "corpus": corpus.key,
            "base": base.preset_key,
            "tokens": tokens.key,
            "weights": weights.key,
            "samples": after.key,
            "gate": gate_key(release),
        },
        "samples": {"written": after.count, "valid_before": before.valid, "valid_after": after.valid},
        **read_environment(weights),
    }


def gate_key(release: ReleaseParameters) -> str:
    """Digest of the parameters of the gate."""
    return digest("gate", release.model_dump(exclude={"destination", "name"}))


def steady_history(history: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The history without speeds, which depend on how busy the machine was."""
    return [{name: value for name, value in entry.items() if name not in _SPEEDS} for entry in history]


def portable(text: str) -> str:
    """An absolute path without what belongs to this machine; any other text is returned unchanged.

    A path inside the current folder or the checkout becomes relative; of any other only the name is kept.
    """
    path = Path(text).expanduser()
    if not path.is_absolute():
        return text
    for above in (Path.cwd(), ROOT):
        if path.is_relative_to(above):
            return path.relative_to(above).as_posix()
    return path.name


def portable_parameters(parameters: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Parameters without paths of this machine and without the destination, which is not a property of a release."""
    corpus, model, training = parameters["corpus"], parameters["model"], parameters["training"]
    paths = {name: portable(value) for name, value in training.items() if name.endswith("_path") and value}
    return {
        **parameters,
        "corpus": {**corpus, "source": [portable(source) for source in corpus.get("source", ())]},
        "model": {**model, "name": portable(model["name"])},
        "training": {**training, **paths},
        "release": {name: value for name, value in parameters["release"].items() if name != "destination"},
    }
