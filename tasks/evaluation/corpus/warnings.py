"""The warnings of a corpus report: defects first, the warnings of the templates last."""

from collections.abc import Iterator, Sequence

from tasks.evaluation.corpus.figures import CorpusReport
from tasks.spintax import Template
from tasks.units import number, percent

OVER_BLOCK_SHARE = 0.01
"""A larger share of documents that are longer than a block is worth a warning."""

LEAK_SHARE = 0.5
"""Leakage of at least this share of the held-out documents is worth a warning."""

MAX_TEMPLATE_WARNINGS = 100
"""Maximum number of template warnings in the report."""


def find_warnings(report: CorpusReport, templates: Sequence[Template]) -> list[str]:
    """The warnings that follow from the figures, and those of the templates with file and line."""
    return [
        *_defects(report),
        *_documents(report),
        *_tokens(report),
        *_coverage(report),
        *_leak(report),
        *_floor(report),
        *_templates(templates),
    ]


def _defects(report: CorpusReport) -> Iterator[str]:
    if report.leak.overlap:
        yield (
            "defect: held-out documents that are verbatim training documents: "
            f"{number(report.leak.overlap)}; the held-out loss is too low"
        )
    if report.coverage and report.coverage.pairs_held_out_seen:
        yield (
            "defect: held-out pairs of options that occur in training documents: "
            f"{number(report.coverage.pairs_held_out_seen)}"
        )


def _documents(report: CorpusReport) -> Iterator[str]:
    text_files = any(source.kind == "text" for source in report.sources)
    unrecognised = 0 if text_files else report.own_documents
    if unrecognised:
        yield (
            f"documents that were drawn from a template but are not variants of any: {number(unrecognised)}; "
            "preparation changed their text, and the report counts them as documents from text files"
        )
    made = report.template_documents + unrecognised
    if report.asked is not None and made < report.asked:
        limited = report.distinct is not None and report.distinct < report.asked
        reason = f"the templates have {number(report.distinct)} distinct" if limited else "the others were not kept"
        yield f"{number(report.asked)} documents were requested, the corpus has {number(made)}: {reason}"


def _tokens(report: CorpusReport) -> Iterator[str]:
    tokens = report.tokens
    if tokens and tokens.over_block_share is not None and tokens.over_block_share > OVER_BLOCK_SHARE:
        yield (
            f"{percent(tokens.over_block_share)} of the documents are longer than a block of "
            f"{number(tokens.block_size)} tokens: raise --tokens.block-size"
        )


def _coverage(report: CorpusReport) -> Iterator[str]:
    coverage = report.coverage
    if coverage is None:
        return
    missing = []
    if coverage.options_seen < coverage.options:
        missing.append(f"{number(coverage.options - coverage.options_seen)} of {number(coverage.options)} options")
    if coverage.pairs is not None and coverage.pairs_seen is not None and coverage.pairs_seen < coverage.pairs:
        missing.append(f"{number(coverage.pairs - coverage.pairs_seen)} of {number(coverage.pairs)} pairs of options")
    if missing:
        more = report.derivations is not None and report.template_documents < (report.distinct or report.derivations)
        advice = "; raise --corpus.num-documents" if more else ""
        yield f"coverage is incomplete: no training document contains {' and '.join(missing)}{advice}"


def _leak(report: CorpusReport) -> Iterator[str]:
    near, runs = report.leak.neighbours, report.leak.runs
    if near and near.share >= LEAK_SHARE and report.split.kind == "line":
        yield (
            f"{percent(near.share)} of the held-out sentences have a training document one slot away: the held-out "
            "loss says little about new text; --corpus.split combination holds out pairs of options"
        )
    if runs and runs.share is not None and runs.share >= LEAK_SHARE:
        yield (
            f"{percent(runs.share)} of the held-out documents from text files share {number(runs.words)} consecutive "
            "words with a training document: the held-out loss says little about new text; --corpus.near-duplicates "
            "rejects near duplicates"
        )


def _floor(report: CorpusReport) -> Iterator[str]:
    if report.floor.kind == "upper bound":
        yield f"the loss floor is an upper bound: {report.floor.reason}"


def _templates(templates: Sequence[Template]) -> Iterator[str]:
    found = [f"{template.name}:{warning}" for template in templates for warning in template.warnings]
    yield from found[:MAX_TEMPLATE_WARNINGS]
    if len(found) > MAX_TEMPLATE_WARNINGS:
        yield f"the templates have {number(len(found) - MAX_TEMPLATE_WARNINGS)} more warnings"
