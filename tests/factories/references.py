"""References made by hand, for tests that need no model."""

from typing import Any

from tasks.stage.references import Corpus, ModelReference, TokenBlocks, Weights

TEMPLATE = "{a|b} {c|d} {e|f|g} x"
"""Twelve sentences."""


def corpus(**changed: Any) -> Corpus:
    facts = {"read": 12, "documents": 12, "duplicates": 0, "empty": 0, "rejected": {}, "derivations": 12}
    split = {"train_documents": 11, "eval_documents": 1}
    return Corpus(**{"key": "c" * 64, "sha256": "1" * 64, **facts, **split, **changed})


def blocks(**changed: Any) -> TokenBlocks:
    facts = {"block_size": 32, "train_blocks": 3, "eval_blocks": 1, "train_tokens": 90, "eval_tokens": 8}
    return TokenBlocks(**{"key": "d" * 64, "sha256": "2" * 64, **facts, **changed})


def weights(**changed: Any) -> Weights:
    facts: dict[str, Any] = {
        "steps": 3,
        "epochs": 1.0,
        "loss_before": 6.0,
        "loss_after": 5.5,
        "nats_per_document": 110.0,
    }
    facts |= {"best_step": None, "precision": "fp32", "processes": 1, "seconds": 2.0}
    return Weights(**{"key": "e" * 64, "sha256": "3" * 64, "model_sha256": "4" * 64, **facts, **changed})


def model(**changed: Any) -> ModelReference:
    return ModelReference(
        **{"name": "scratch-tiny", "type": "GPT-NEO", "sha256": "5" * 64, "path": "base/f", **changed}
    )
