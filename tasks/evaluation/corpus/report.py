"""Compute the corpus report: the figures of a corpus, its loss floor and what a held-out loss on it measures."""

from collections.abc import Iterable, Mapping, Sequence

from tasks.evaluation.corpus.figures import (
    CorpusReport,
    Counts,
    Floor,
    Source,
    SourceFigures,
    Split,
    SplitFigures,
    TokenFigures,
    Tokens,
)
from tasks.evaluation.corpus.floor import HeldOutSize, loss_floor
from tasks.evaluation.corpus.statistics import CorpusStatistics, collect_statistics
from tasks.evaluation.corpus.warnings import find_warnings
from tasks.spintax import Template, count_distinct

MEASURES = {
    "line": (
        "Held-out variants are new combinations of options whose near neighbours were trained on: the held-out loss "
        "measures recall of the template, not generalisation to new text."
    ),
    "combination": (
        "Held-out variants hold pairs of options that were trained on, but never side by side: the held-out loss "
        "measures how well the model combines what it has seen."
    ),
    "text": (
        "Held-out documents from text files are new text of the same kind as the training documents: the held-out loss "
        "measures how well the model predicts such text."
    ),
    "nothing": "Nothing is held out, so the loss on documents that were not trained on is not measured.",
}
"""What the held-out loss measures; a corpus of templates and text files gets both sentences."""


def compute_report(  # noqa: PLR0913 a corpus has that many aspects
    *,
    train: Iterable[str],
    evaluation: Iterable[str],
    templates: Sequence[Template],
    sources: Sequence[Source],
    counts: Counts,
    split: Split,
    tokens: Tokens | None = None,
    asked: int | None = None,
    fingerprints: Mapping[str, str] | None = None,
    warnings: Sequence[str] = (),
) -> CorpusReport:
    """Read both streams once, the held-out one first, and report on them; equal inputs give equal reports.

    Args:
        train: Training documents; memory does not grow with them.
        evaluation: Held-out documents; about 200 bytes of memory each.
        templates: The templates that documents were drawn from, uniformly within a template.
        sources: The template sources in the order of `templates`, with text files anywhere between them.
        counts: Must agree with the streams.
        split: How documents were held out.
        tokens: None if tokens were not counted.
        asked: How many documents were requested from the templates.
        fingerprints: Name → digest, for example of the corpus and of the tokens.
        warnings: Further warnings, put before those that follow from the figures.

    Raises:
        ValueError: The arguments contradict each other.
    """
    _check_sources(sources, templates)
    found = collect_statistics(train, evaluation, templates, split.held_out)
    if (found.train, found.evaluation) != (counts.train, counts.evaluation):
        raise ValueError(f"counted {counts}, but {found.train} documents and {found.evaluation} held out were read")
    distinct = count_distinct(templates) if templates else None
    report = CorpusReport(
        counts=counts,
        asked=asked,
        template_documents=counts.kept - found.own_documents,
        own_documents=found.own_documents,
        sources=_describe(sources, templates),
        derivations=sum(template.count for template in templates) if templates else None,
        distinct=distinct,
        characters=found.characters,
        words=found.words,
        tokens=_token_figures(tokens, counts),
        coverage=found.coverage,
        split=SplitFigures(kind=split.kind, measures=_measures(found, split)),
        leak=found.leak,
        floor=_floor(found, sources, templates, distinct, tokens),
        fingerprints=dict(fingerprints or {}),
        warnings=(),
    )
    # validated again: a warning may hold a file name that is not valid Unicode
    return CorpusReport.model_validate(dict(report) | {"warnings": (*warnings, *find_warnings(report, templates))})


def _check_sources(sources: Sequence[Source], templates: Sequence[Template]) -> None:
    named = sum(source.kind == "template" for source in sources)
    if named != len(templates):
        raise ValueError(f"{named} sources are templates, but there are {len(templates)} templates")


def _describe(sources: Sequence[Source], templates: Sequence[Template]) -> tuple[SourceFigures, ...]:
    remaining = iter(templates)
    described = []
    for source in sources:
        template = next(remaining) if source.kind == "template" else None
        derivations, distinct = (template.count, template.distinct) if template else (None, None)
        described.append(SourceFigures(**source.model_dump(), derivations=derivations, distinct=distinct))
    return tuple(described)


def _token_figures(tokens: Tokens | None, counts: Counts) -> TokenFigures | None:
    if tokens is None:
        return None
    total, over = tokens.train_tokens + tokens.eval_tokens, tokens.documents_over_block
    return TokenFigures(
        **tokens.model_dump(),
        total_tokens=total,
        tokens_per_document=total / counts.kept if counts.kept else None,
        over_block_share=over / counts.kept if over is not None and counts.kept else None,
    )


def _measures(found: CorpusStatistics, split: Split) -> str:
    if not found.evaluation:
        return MEASURES["nothing"]
    kinds = ((split.kind, found.leak.neighbours), ("text", found.leak.runs))
    return " ".join(MEASURES[kind] for kind, figures in kinds if figures)


def _floor(
    found: CorpusStatistics,
    sources: Sequence[Source],
    templates: Sequence[Template],
    distinct: int | None,
    tokens: Tokens | None,
) -> Floor:
    if not templates or any(source.kind == "text" for source in sources):
        return Floor(kind="unknown", reason="the entropy of text files is not known")
    return loss_floor(
        templates,
        [source.documents for source in sources],
        distinct,
        mean_words=found.words.mean if found.words else 0.0,
        held_out=HeldOutSize(found.evaluation, tokens.eval_tokens) if tokens else None,
    )
