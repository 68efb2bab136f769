"""Prepare: template → corpus → base model → tokens; needs no GPU. Command: `python flows/prepare.py`.

What comes in: the parameters of corpus, tokens, model and training (for the seed and the preprocessed file). What it
leaves: references to the corpus, the base model, the token blocks and the corpus report.
"""

from prefect import flow
from pydantic import BaseModel, ConfigDict

from flows.cli.command import run
from tasks.base_model import make_base_model
from tasks.corpus import check_sources, make_corpus
from tasks.corpus_report import make_report, show_report
from tasks.observability.logs import start_run
from tasks.parameters import CorpusParameters, ModelParameters, TokenParameters, TrainingParameters
from tasks.stage.references import Corpus, ModelReference, Report, TokenBlocks
from tasks.tokens import make_tokens, save_preprocessed


class Prepared(BaseModel):
    """References to all that fine-tuning needs."""

    model_config = ConfigDict(frozen=True)

    corpus: Corpus
    base: ModelReference
    tokens: TokenBlocks
    report: Report


@flow(name="prepare", log_prints=True)
def prepare(
    *,
    corpus: CorpusParameters = CorpusParameters(),
    tokens: TokenParameters = TokenParameters(),
    model: ModelParameters = ModelParameters(),
    training: TrainingParameters = TrainingParameters(),
) -> Prepared:
    """Spin the corpus, find or build the base model, tokenize and pack, and report on the corpus.

    Args:
        corpus: Which texts the corpus consists of.
        tokens: How the corpus is split into blocks.
        model: Which model is the base model.
        training: Seed, and where preprocessed data is saved or loaded.
    """
    start_run()
    made = make_corpus(corpus)
    base = make_base_model(made, model, training.seed)
    blocks = make_tokens(made, base, tokens, training)
    save_preprocessed(blocks, training)
    report = make_report(made, blocks, corpus.num_documents)
    show_report(report)
    return Prepared(corpus=made, base=base, tokens=blocks, report=report)


if __name__ == "__main__":
    run(prepare, check=lambda parameters: check_sources(parameters["corpus"]))
