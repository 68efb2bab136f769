"""The report stage: it has the counts and sources of the corpus, and a floor only where that is exact."""

from math import log
from pathlib import Path
from typing import Any

import pytest

from tasks.corpus import make_corpus
from tasks.corpus_report import make_report
from tasks.evaluation.corpus.figures import CorpusReport
from tasks.parameters import CorpusParameters
from tasks.stage.contents import read_report
from tasks.stage.references import Corpus, TokenBlocks
from tests.factories.references import blocks


def tokens(**changed: Any) -> TokenBlocks:
    return blocks(longest_document=6, documents_over_block=0, **changed)


def report_on(corpus: CorpusParameters, some: TokenBlocks | None = None) -> tuple[Corpus, CorpusReport]:
    made = make_corpus.fn(corpus)
    return made, read_report(make_report.fn(made, some or tokens(), corpus.num_documents))


def test_the_report_contains_the_counts_of_the_corpus(tmp_path: Path) -> None:
    (tmp_path / "own.txt").write_text("a c\nown text\n\nown text\nx\n")
    (tmp_path / "t.spintax").write_text("{a|b} {c|d}\n")
    sources = (str(tmp_path / "own.txt"), str(tmp_path / "t.spintax"))
    corpus, report = report_on(CorpusParameters(source=sources, min_characters=2))
    counts = report.counts
    assert (counts.read, counts.kept, counts.duplicate, counts.empty, counts.rejected) == (9, 5, 2, 1, {"short": 1})
    assert [(source.name, source.kind, source.documents) for source in report.sources] == [
        ("t.spintax", "template", 4), ("own.txt", "text", 5),
    ]  # fmt: skip
    assert report.fingerprints == {"corpus": corpus.sha256, "tokens": tokens().sha256}
    assert (report.template_documents, report.own_documents, report.asked) == (4, 1, 6000)
    assert report.tokens is not None
    assert (report.tokens.train_tokens, report.tokens.documents_over_block) == (90, 0)


@pytest.mark.parametrize(
    ("template", "kind", "nats"),
    [("{a|b} {c|d}", "exact", log(4)), ("{a|ab}{b|}", "upper bound", log(3))],
)
def test_only_an_exact_floor_is_passed_to_the_run(template: str, kind: str, nats: float) -> None:
    corpus = CorpusParameters(template=template)
    made = make_report.fn(make_corpus.fn(corpus), tokens(), 6000)
    floor = read_report(made).floor
    assert floor.kind == kind
    assert floor.nats_per_document == pytest.approx(nats)
    assert floor.nats_per_token is not None
    assert made.floor == (floor.nats_per_token if kind == "exact" else None)


def test_held_out_pairs_are_listed_and_never_seen() -> None:
    _, report = report_on(CorpusParameters(template="{a|b|c} {d|e|f} {g|h|i}", split="combination", eval_fraction=0.3))
    assert report.coverage is not None
    assert report.coverage.pairs_held_out == len(report.coverage.held_out) > 0
    assert report.coverage.pairs_held_out_seen == 0
    assert (report.coverage.options_seen, report.coverage.options) == (9, 9)
    assert report.split.kind == "combination"


def test_tokens_of_a_preprocessed_file_are_not_those_of_the_corpus() -> None:
    _, report = report_on(CorpusParameters(template="{a|b} {c|d}"), blocks())
    assert report.tokens is None
    assert report.floor.nats_per_token is None
    assert "the tokens come from a preprocessed file, not from this corpus" in report.warnings


def test_a_different_number_of_requested_documents_has_a_different_report() -> None:
    made = make_corpus.fn(CorpusParameters(template="{a|b} {c|d}"))
    few, many = make_report.fn(made, tokens(), 4), make_report.fn(made, tokens(), 5)
    assert few.key != many.key
    assert (few.warnings + 1, read_report(many).asked) == (many.warnings, 5)


def test_a_sorted_corpus_has_the_leak_figure_of_the_shuffled_one() -> None:
    template = "{a|b|c|d} " * 8
    rules: dict[str, Any] = dict(template=template, num_documents=9000, eval_fraction=0.5)
    shuffled, in_order = (report_on(CorpusParameters(**rules, order=order))[1] for order in ("shuffled", "sorted"))
    assert in_order.leak.neighbours == shuffled.leak.neighbours
    assert in_order.leak.neighbours is not None
    assert in_order.leak.neighbours.sampled == 1000 < in_order.counts.evaluation
