"""The rows of a corpus report, a name and a sentence each, shared by the terminal, the UI and the HTML report."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from tasks.evaluation.corpus.figures import CorpusReport, Leak, Lengths, Option, OptionPair, SourceFigures
from tasks.units import number, percent

SHOWN = 10
"""Sources and warnings that are shown; report.json contains all of them."""


class Row(NamedTuple):
    """One line of the report."""

    name: str
    value: str


class Section(NamedTuple):
    """Rows that belong together."""

    title: str
    rows: list[Row]


def sections(report: CorpusReport) -> list[Section]:
    """The whole report except the histograms."""
    return [
        Section("Documents", [*_documents(report), *_sources(report)]),
        Section("Length", [*_lengths("characters", report.characters), *_lengths("words", report.words)]),
        Section("Tokens", list(_tokens(report))),
        Section("Option coverage", list(_coverage(report))),
        Section(
            "Split and leak", [Row("split", f"by {report.split.kind}. {report.split.measures}"), *_leak(report.leak)]
        ),
        Section("Loss floor", list(_floor(report))),
        Section(
            "Fingerprints", [Row("fingerprint", f"{name}: {value}") for name, value in report.fingerprints.items()]
        ),
        Section("Warnings", _warnings(report.warnings)),
    ]


def histogram(lengths: Lengths | None) -> list[Row]:
    """The number of documents in each range of lengths."""
    return [
        Row(number(one.low) if one.low == one.high else f"{number(one.low)}-{number(one.high)}", number(one.documents))
        for one in (lengths.bins if lengths else ())
    ]


def shorten(text: str, limit: int = 60) -> str:
    """The text, without its middle if it is longer than `limit`."""
    half = (limit - 3) // 2
    return text if len(text) <= limit else f"{text[:half]}...{text[-half:]}"


def _documents(report: CorpusReport) -> Iterator[Row]:
    counts = report.counts
    rejected = [f"{number(documents)} rejected ({reason})" for reason, documents in counts.rejected.items()]
    parts = [f"{number(counts.kept)} kept", f"{number(counts.duplicate)} duplicate", f"{number(counts.empty)} empty"]
    yield Row("documents", f"{number(counts.read)} read = {' + '.join([*parts, *(rejected or ['0 rejected'])])}")
    asked = "" if report.asked is None else f" ({number(report.asked)} requested)"
    yield Row(
        "kept",
        f"{number(counts.train)} training + {number(counts.evaluation)} held out; "
        f"{number(report.template_documents)} from templates{asked}, {number(report.own_documents)} from text files",
    )


def _sources(report: CorpusReport) -> Iterator[Row]:
    for source in report.sources[:SHOWN]:
        yield Row("source", _source(source))
        yield Row("sha256", source.sha256)
    yield from _more("source", len(report.sources))
    if report.derivations is not None:
        yield Row("templates", f"{_variants(report.derivations, report.distinct)}, in total")


def _source(source: SourceFigures) -> str:
    line = "" if source.line is None else f":{source.line}"
    variants = "" if source.derivations is None else f" of {_variants(source.derivations, source.distinct)}"
    return f"{shorten(source.name)}{line} ({source.kind}): {number(source.documents)} documents{variants}"


def _variants(derivations: int, distinct: int | None) -> str:
    return f"{number(derivations)} derivations, {number(distinct)} distinct"


def _lengths(name: str, lengths: Lengths | None) -> Iterator[Row]:
    if lengths:
        middle = f"median {number(lengths.median)}, mean {number(lengths.mean)}"
        yield Row(name, f"{number(lengths.shortest)} to {number(lengths.longest)} per document, {middle}")


def _tokens(report: CorpusReport) -> Iterator[Row]:
    tokens = report.tokens
    if tokens is None:
        yield Row("tokens", "not counted")
        return
    yield Row(
        "tokens",
        f"{number(tokens.total_tokens)} = {number(tokens.train_tokens)} training + {number(tokens.eval_tokens)} held "
        f"out; {number(tokens.tokens_per_document)} per document, {number(tokens.longest_document)} in the longest",
    )
    yield Row(
        "blocks",
        f"{number(tokens.train_blocks)} training + {number(tokens.eval_blocks)} held out, of "
        f"{number(tokens.block_size)} tokens",
    )
    yield Row(
        "over a block",
        f"{number(tokens.documents_over_block)} documents ({percent(tokens.over_block_share)}) are longer than a block",
    )


def _coverage(report: CorpusReport) -> Iterator[Row]:
    coverage = report.coverage
    if coverage is None:
        yield Row("options", "no template")
        return
    yield Row("options", f"{number(coverage.options_seen)} of {number(coverage.options)} seen in training")
    seen = f"{number(coverage.pairs_seen)} of {number(coverage.pairs)} seen side by side in training"
    yield Row(
        "option pairs",
        f"{seen if coverage.pairs is not None else 'too many to count'}; "
        f"{number(coverage.pairs_held_out)} held out, {number(coverage.pairs_held_out_seen)} of them seen",
    )
    if coverage.never_seen:
        yield Row("never seen", "; ".join(map(_option, coverage.never_seen)))
    if coverage.held_out:
        yield Row("held out", "; ".join(map(_pair, coverage.held_out)))


def _option(option: Option) -> str:
    return f'{shorten(option.template, 20)} slot {number(option.slot)} "{shorten(option.option, 30)}"'


def _pair(pair: OptionPair) -> str:
    second = f'slot {number(pair.second.slot)} "{shorten(pair.second.option, 30)}"'
    return f"{_option(pair.first)} + {second}"


def _leak(leak: Leak) -> Iterator[Row]:
    near, runs = leak.neighbours, leak.runs
    if near:
        yield Row(
            "leak",
            f"{percent(near.share)} of {number(near.sampled)} held-out variants ({number(near.with_neighbour)}) have a "
            f"training document one slot away, {number(near.mean)} on average",
        )
    if runs and not runs.sampled:
        yield Row(
            "leak", f"unknown: all {number(runs.too_short)} held-out texts have fewer than {number(runs.words)} words"
        )
    elif runs:
        yield Row(
            "leak",
            f"{percent(runs.share)} of {number(runs.sampled)} held-out texts ({number(runs.with_run)}) share "
            f"{number(runs.words)} consecutive words with a training document; {number(runs.too_short)} are too short",
        )
    yield Row("overlap", f"{number(leak.overlap)} held-out documents are verbatim training documents")


def _floor(report: CorpusReport) -> Iterator[Row]:
    floor = report.floor
    if floor.nats_per_document is None:
        yield Row("loss floor", f"unknown: {floor.reason}")
        return
    per_token = "" if floor.nats_per_token is None else f"; {number(floor.nats_per_token)} per token"
    perplexity = "" if floor.perplexity is None else f" (perplexity {number(floor.perplexity)})"
    yield Row(
        "loss floor",
        f"{'' if floor.kind == 'exact' else 'at most '}{number(floor.nats_per_document)} nats a document = "
        f"{number(floor.bits_per_document)} bits; {number(floor.nats_per_word)} per word{per_token}{perplexity}",
    )
    if floor.reason:
        yield Row("loss floor", f"not exact: {floor.reason}")
    yield Row(
        "how to read it", "a held-out loss below the floor means leakage, a training loss below it means memorisation"
    )


def _warnings(warnings: Sequence[str]) -> list[Row]:
    shown = [Row("warning", warning) for warning in warnings[:SHOWN]]
    return [*shown, *_more("warning", len(warnings))] or [Row("warnings", "none")]


def _more(name: str, total: int) -> list[Row]:
    return [Row(name, f"and {number(total - SHOWN)} more, in report.json")] if total > SHOWN else []
