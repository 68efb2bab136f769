"""Held-out losses: a model and a corpus in, the loss of each held-out document out.

What comes in: a model (base, fine-tuned or the champion) and the corpus. What it leaves: `data/heldout/<key>/
heldout.json`, nats and tokens of each document. Models with different tokenizers can be compared by it: the documents
are the same.
"""

import json
from pathlib import Path

from tasks.dataset import read_jsonl_documents
from tasks.stage.folders import Facts, digest
from tasks.stage.references import Corpus, HeldOut, ModelReference
from tasks.stage.stage import stage

VERSION = 1
MOST_DOCUMENTS = 1000


def heldout_key(model_sha256: str, corpus_sha256: str) -> str:
    """The key of the losses: the model and the corpus."""
    return digest("heldout", VERSION, model_sha256, corpus_sha256)


@stage(HeldOut, "measure held-out losses", lambda model, corpus: heldout_key(model.sha256, corpus.sha256))
def measure_heldout(folder: Path, model: ModelReference, corpus: Corpus) -> Facts:
    """Measure each held-out document, MOST_DOCUMENTS at most."""
    from tasks.modeling.document_losses import document_losses
    from tasks.modeling.happy import TunableGeneration

    generator = TunableGeneration(model.type, model.load_from, revision=model.revision)
    losses = document_losses(generator, heldout_documents(corpus))
    (folder / "heldout.json").write_text(json.dumps(losses._asdict()) + "\n", encoding="utf-8")
    return {"documents": len(losses.nats), "tokens": sum(losses.tokens), "nats": sum(losses.nats)}


def heldout_documents(corpus: Corpus, most: int = MOST_DOCUMENTS) -> list[str]:
    """Held-out documents, `most` at most and evenly taken, so that sorted ones give no other picture."""
    documents = list(read_jsonl_documents(corpus.folder / "eval.jsonl"))
    if len(documents) <= most:
        return documents
    return [documents[number * len(documents) // most] for number in range(most)]


def read_heldout(made: HeldOut) -> tuple[list[float], list[int]]:
    """Nats and tokens of each document, in order."""
    read = json.loads((made.folder / "heldout.json").read_text(encoding="utf-8"))
    return read["nats"], read["tokens"]
