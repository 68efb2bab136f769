"""Held-out losses: a model and a corpus in, the loss of each held-out document out.

What comes in: a model (base, fine-tuned or the champion) and the corpus. What it leaves: `data/heldout/<key>/
heldout.json`, nats and tokens of each document. Models with different tokenizers can be compared by it: the documents
are the same.
"""

import json
from functools import partial
from pathlib import Path

from prefect import task

from tasks.caching import content_key
from tasks.dataset import read_jsonl_documents
from tasks.folders import Facts, digest
from tasks.references import Corpus, HeldOut, ModelReference
from tasks.stage_log import make_and_tell

VERSION = 1
MOST_DOCUMENTS = 1000


def heldout_key(model: ModelReference, corpus: Corpus) -> str:
    """The key of the losses: the model and the corpus."""
    return digest("heldout", VERSION, model.sha256, corpus.sha256)


@task(
    name="measure held-out losses",
    cache_policy=content_key(HeldOut, heldout_key),
    persist_result=True,
    result_serializer="json",
)
def measure_heldout(model: ModelReference, corpus: Corpus) -> HeldOut:
    """Measure each held-out document, MOST_DOCUMENTS at most."""
    return make_and_tell(HeldOut, heldout_key(model, corpus), partial(_fill, model, corpus), model=model.name)


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


def _fill(model: ModelReference, corpus: Corpus, folder: Path) -> Facts:
    from tasks.modeling.document_losses import document_losses
    from tasks.modeling.happy import TunableGeneration

    generator = TunableGeneration(model.type, model.load_from, revision=model.revision)
    losses = document_losses(generator, heldout_documents(corpus))
    (folder / "heldout.json").write_text(json.dumps(losses._asdict()) + "\n", encoding="utf-8")
    return {"documents": len(losses.nats), "tokens": sum(losses.tokens), "nats": sum(losses.nats)}
