"""Corpus report: what the corpus consists of, how far a held-out loss on it can be trusted, and the loss floor.

What comes in: the corpus, its tokens and the number of requested documents. What it leaves:
`data/report/<key>/report.json`, and the same figures in the log and as a Markdown artifact in the UI.
"""

from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks.dataset import document_digest
from tasks.evaluation.corpus.figures import Counts, Source, Split, Tokens
from tasks.evaluation.corpus.report import compute_report
from tasks.evaluation.corpus.text import report_markdown, report_text
from tasks.observability.artifacts import show
from tasks.stage.contents import CorpusSources, read_report, read_sources, read_split
from tasks.stage.folders import Facts, digest
from tasks.stage.references import Corpus, Report, TokenBlocks
from tasks.stage.stage import stage

VERSION = 1


def report_key(corpus: Corpus, tokens: TokenBlocks, requested: int) -> str:
    """The key of a report: content and counts of corpus and tokens, and the number of requested documents."""
    return digest("report", VERSION, corpus.model_dump(exclude={"key"}), tokens.model_dump(exclude={"key"}), requested)


@stage(Report, "make report", report_key)
def make_report(folder: Path, corpus: Corpus, tokens: TokenBlocks, requested: int) -> Facts:
    """Compute the figures; `requested` is the number of documents that the templates should give."""
    sources = read_sources(corpus)
    templates = sources.templates()
    held_out_pairs = tuple((number, pair[:2], pair[2:]) for number, pairs in enumerate(sources.pairs) for pair in pairs)
    preprocessed = tokens.longest_document is None
    report = compute_report(
        train=read_split(corpus, "train"),
        # in a fixed random order: the report samples the first ones, which must not be neighbours in a sorted corpus
        evaluation=sorted(read_split(corpus, "eval"), key=lambda document: document_digest(document, seed=0)),
        templates=templates,
        sources=_sources(sources),
        counts=Counts(
            read=corpus.read,
            kept=corpus.documents,
            duplicate=corpus.duplicates,
            empty=corpus.empty,
            rejected=corpus.rejected,
            train=corpus.train_documents,
            evaluation=corpus.eval_documents,
        ),
        split=Split(kind=sources.split, held_out=held_out_pairs),
        tokens=None if preprocessed else _tokens(tokens),
        asked=requested if templates else None,
        fingerprints={"corpus": corpus.sha256, "tokens": tokens.sha256},
        warnings=["the tokens come from a preprocessed file, not from this corpus"] if preprocessed else [],
    )
    (folder / "report.json").write_text(report.model_dump_json(indent=1) + "\n", encoding="utf-8")
    exact = report.floor.kind == "exact"
    return {"floor": report.floor.nats_per_token if exact else None, "warnings": len(report.warnings)}


@task(name="show report", cache_policy=NO_CACHE, persist_result=False)
def show_report(made: Report) -> None:
    """Show the report in the log and in the UI, in every run."""
    report = read_report(made)
    print(f"report: the corpus in figures\n{report_text(report)}")
    show("corpus-report", report_markdown(report), "The corpus in figures, and its loss floor")


def _tokens(tokens: TokenBlocks) -> Tokens:
    return Tokens(
        block_size=tokens.block_size,
        train_tokens=tokens.train_tokens,
        eval_tokens=tokens.eval_tokens,
        train_blocks=tokens.train_blocks,
        eval_blocks=tokens.eval_blocks,
        longest_document=tokens.longest_document,
        documents_over_block=tokens.documents_over_block,
    )


def _sources(sources: CorpusSources) -> list[Source]:
    return [
        Source(
            name=source.name,
            kind="text" if source.template is None else "template",
            line=source.line,
            sha256=source.sha256,
            documents=source.documents,
        )
        for source in sources.sources
    ]
