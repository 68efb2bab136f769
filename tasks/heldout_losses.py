"""Held-out losses: the loss of a model on each held-out document.

What comes in: a model (base, fine-tuned or the champion) and the corpus. What it leaves: `data/heldout/<key>/
heldout.json` with nats and tokens of each document. The documents are the same for every model, so models with
different tokenizers can be compared.
"""

import json
from pathlib import Path

from tasks.stage.contents import sample_heldout
from tasks.stage.folders import Facts, digest
from tasks.stage.references import Corpus, HeldOut, ModelReference
from tasks.stage.stage import stage

VERSION = 1
MAX_DOCUMENTS = 1000


def heldout_key(model_sha256: str, corpus_sha256: str) -> str:
    """The key of the losses: the model and the corpus."""
    return digest("heldout", VERSION, model_sha256, corpus_sha256)


@stage(HeldOut, "measure held-out losses", lambda model, corpus: heldout_key(model.sha256, corpus.sha256))
def measure_heldout(folder: Path, model: ModelReference, corpus: Corpus) -> Facts:
    """Measure the held-out documents, at most MAX_DOCUMENTS of them."""
    from tasks.modeling.document_losses import document_losses
    from tasks.modeling.happy import TunableGeneration

    generator = TunableGeneration(model.type, model.load_from, revision=model.revision)
    losses = document_losses(generator, sample_heldout(corpus, MAX_DOCUMENTS))
    (folder / "heldout.json").write_text(json.dumps(losses._asdict()) + "\n", encoding="utf-8")
    return {"documents": len(losses.nats), "tokens": sum(losses.tokens), "nats": sum(losses.nats)}
