"""The figures and warnings of a corpus report."""

from collections.abc import Callable
from itertools import islice
from math import log
from time import perf_counter

import pytest

from tasks.evaluation.corpus.figures import CorpusReport, Counts, Split, Tokens
from tasks.evaluation.corpus.report import compute_report
from tasks.spintax import Template
from tests.factories.corpus_reports import LINE, OWN, SMALL, own_source, report, seed_report, template_source


@pytest.fixture(scope="module")
def everything() -> CorpusReport:
    return seed_report(48_600)


def test_all_sentences_of_the_cheese_template(everything: CorpusReport) -> None:
    assert (everything.derivations, everything.distinct) == (48_600, 48_600)
    assert (everything.counts.train, everything.counts.evaluation) == (43_740, 4_860)
    assert (everything.template_documents, everything.own_documents) == (48_600, 0)
    characters, words, coverage = everything.characters, everything.words, everything.coverage
    assert characters
    assert words
    assert coverage
    assert (characters.shortest, characters.longest) == (83, 136)
    assert characters.mean == pytest.approx((5_211_540 - 48_600) / 48_600)
    assert (words.shortest, words.longest, round(words.mean, 1)) == (16, 22, 18.9)
    assert (coverage.options_seen, coverage.options) == (31, 31)
    assert (coverage.pairs_seen, coverage.pairs) == (423, 423)


def test_each_held_out_sentence_of_the_cheese_template_has_nearly_20_neighbours(everything: CorpusReport) -> None:
    near = everything.leak.neighbours
    assert near
    assert (near.sampled, near.with_neighbour, near.share) == (1_000, 1_000, 1.0)
    assert near.mean == pytest.approx(19.8, abs=0.15)
    assert everything.leak.overlap == 0


def test_the_floor_of_the_cheese_template(everything: CorpusReport) -> None:
    floor = everything.floor
    assert floor.kind == "exact"
    assert floor.nats_per_document == pytest.approx(log(48_600))
    assert f"{floor.nats_per_document:.2f}" == "10.79"
    assert f"{floor.nats_per_word:.3f}" == "0.570"


@pytest.mark.parametrize(("documents", "draws", "share"), [(10_000, 1, 0.98), (1_000, 10, 0.33)])
def test_the_share_with_a_neighbour_falls_with_the_documents_drawn(documents: int, draws: int, share: float) -> None:
    found = [seed_report(documents, seed=seed).leak.neighbours for seed in range(draws)]
    assert sum(near.share for near in found if near) / draws == pytest.approx(share, abs=0.03)


def test_the_report_of_all_sentences_takes_a_second_or_so() -> None:
    begin = perf_counter()
    seed_report(48_600)
    assert perf_counter() - begin < 15  # about 1.2 s on an idle machine, drawing included


def test_few_documents_cover_the_cheese_template() -> None:
    few = seed_report(300).coverage
    assert few
    assert (few.options_seen, few.pairs_seen) == (31, 423)


def test_the_figures_of_a_small_corpus() -> None:
    tokens = Tokens(
        block_size=4, train_tokens=30, eval_tokens=10, train_blocks=8, eval_blocks=3, longest_document=5,
        documents_over_block=2,
    )  # fmt: skip
    made = report(["a c e x", "a d f x", "b c g x"], ["a c f x", "b d e x"], SMALL, tokens=tokens, drawn=[5])
    assert made.sources[0].model_dump(include={"documents", "derivations", "distinct"}) == {
        "documents": 5, "derivations": 12, "distinct": 12,
    }  # fmt: skip
    assert made.words
    assert made.characters
    assert made.tokens
    assert made.coverage
    assert made.leak.neighbours
    assert (made.words.mean, made.characters.mean) == (4.0, 7.0)
    assert (made.tokens.total_tokens, made.tokens.tokens_per_document, made.tokens.over_block_share) == (40, 8.0, 0.4)
    assert (made.coverage.options_seen, made.coverage.pairs_seen) == (7, 9)
    # a c f x: neighbours a c e x and a d f x; b d e x: none
    assert (made.leak.neighbours.share, made.leak.neighbours.mean) == (0.5, 1.0)
    assert made.floor.nats_per_token == pytest.approx(log(12) * 2 / 10)
    assert made.floor.nats_per_word == pytest.approx(log(12) / 4)


def test_a_split_by_combination_says_what_it_measures() -> None:
    split = Split(kind="combination", held_out=((0, (0, 1), (1, 1)),))
    train = [text for text in Template.parse(SMALL) if not text.startswith("b d")]
    made = report(train, ["b d e x", "b d f x", "b d g x"], SMALL, split=split)
    assert made.coverage
    assert (made.coverage.pairs_seen, made.coverage.pairs, made.coverage.pairs_held_out) == (15, 15, 1)
    assert made.coverage.pairs_held_out_seen == 0
    assert made.split.measures.count("side by side") == 1
    assert "recall" not in made.split.measures
    assert not made.warnings  # neighbours are what such a split is about
    broken = report(["b d e x", *train], ["b d f x"], SMALL, split=split)
    assert broken.coverage
    assert broken.coverage.pairs_held_out_seen == 1
    assert broken.warnings[0].startswith("defect: held-out pairs of options that occur in training documents: 1")


def test_text_files_have_no_floor_and_their_own_measure() -> None:
    made = report(OWN[1:], OWN[:1], own=[own_source(8)])
    assert (made.derivations, made.distinct, made.coverage) == (None, None, None)
    assert (made.template_documents, made.own_documents) == (0, 8)
    assert (made.floor.kind, made.floor.reason) == ("unknown", "the entropy of text files is not known")
    assert made.split.measures.startswith("Held-out documents from text files are new text of the same kind")
    assert made.leak.runs
    assert made.leak.neighbours is None


def test_a_corpus_can_have_templates_and_text_files() -> None:
    variants = list(Template.parse(SMALL))
    made = report([*variants[1:], *OWN[1:]], [variants[0], OWN[0]], SMALL, own=[own_source(8)], drawn=[12])
    assert (made.template_documents, made.own_documents) == (12, 8)
    assert made.leak.neighbours
    assert made.leak.runs
    assert (made.leak.neighbours.sampled, made.leak.neighbours.mean) == (1, 4.0)
    assert (made.leak.runs.sampled, made.leak.runs.with_run) == (1, 0)
    assert made.floor.kind == "unknown"
    assert "recall of the template" in made.split.measures
    assert "text files" in made.split.measures
    assert [(source.kind, source.derivations) for source in made.sources] == [("template", 12), ("text", None)]


def test_templates_that_overlap_have_an_upper_bound() -> None:
    made = report(["a", "c"], ["b"], "{a|b}", "{b|c}", drawn=[2, 1])
    assert (made.derivations, made.distinct) == (4, 3)
    assert made.coverage
    assert (made.coverage.options_seen, made.coverage.options) == (2, 4)  # a; c
    both = report(["b"], ["a"], "{a|b}", "{b|c}", drawn=[2, 1]).coverage
    assert both
    assert (both.options_seen, both.options) == (2, 4)  # b; b
    assert made.floor.kind == "upper bound"
    assert "the loss floor is an upper bound: the templates have variants in common" in made.warnings


def test_a_corpus_can_have_nothing_held_out_or_no_documents() -> None:
    made = report(["a c e x"], [], SMALL)
    assert made.split.measures.startswith("Nothing is held out")
    assert (made.leak.neighbours, made.leak.runs, made.leak.overlap) == (None, None, 0)
    tokens = Tokens(block_size=4, train_tokens=0, eval_tokens=0, train_blocks=0, eval_blocks=0)
    nothing = report([], [], tokens=tokens)
    assert (nothing.characters, nothing.words, nothing.floor.kind) == (None, None, "unknown")
    assert nothing.tokens
    assert (nothing.tokens.tokens_per_document, nothing.tokens.over_block_share) == (None, None)


@pytest.mark.parametrize("text", ["plain", "{a|b}"])
def test_templates_with_one_slot_or_none_have_no_pairs(text: str) -> None:
    variants = list(Template.parse(text))
    made = report(variants[1:], variants[:1], text)
    assert made.coverage
    assert made.coverage.pairs == 0


@pytest.mark.parametrize(
    ("wanted", "made"),
    [
        ("defect: held-out documents that are verbatim training documents: 1",
         lambda: report(["a c e x"], ["a c e x"], SMALL)),
        ("20 documents were requested, the corpus has 12: the templates have 12 distinct",
         lambda: report([*Template.parse(SMALL)][1:], [*Template.parse(SMALL)][:1], SMALL, asked=20)),
        ("9 documents were requested, the corpus has 2: the others were not kept",
         lambda: report(["a c e x"], ["a c f x"], SMALL, asked=9)),
        ("100.0 % of the held-out sentences have a training document one slot away: the held-out loss says little "
         "about new text; --corpus.split combination", lambda: report(["a c e x"], ["a c f x"], SMALL)),
        ("coverage is incomplete: no training document contains 4 of 7 options and 13 of 16 pairs of options; raise "
         "--corpus.num-documents", lambda: report(["a c e x"], ["a c f x"], SMALL)),
        ("100.0 % of the held-out documents from text files share 8 consecutive words",
         lambda: report([f"x {OWN[0]}"], [OWN[0]], own=[own_source(2)])),
        ("documents that were drawn from a template but are not variants of any: 1",
         lambda: report(["A"], ["a"], "{a|b}")),
        ("the loss floor is an upper bound: a template has several", lambda: report(["a"], ["b"], "{a|a|b}")),
        ("template:1:4: the option 'a' occurs 2 times", lambda: report(["a"], ["b"], "{a|a|b}")),
        ("2.0 % of the documents are longer than a block of 8 tokens", lambda: over_block(2)),
    ],
)  # fmt: skip
def test_figures_that_need_action_become_warnings(wanted: str, made: Callable[[], CorpusReport]) -> None:
    assert [warning for warning in made().warnings if warning.startswith(wanted)]


def over_block(over: int | None) -> CorpusReport:
    tokens = Tokens(
        block_size=8, train_tokens=9, eval_tokens=9, train_blocks=1, eval_blocks=1, documents_over_block=over
    )
    return report([f"t{number}" for number in range(99)], ["e"], own=[own_source(100)], tokens=tokens)


@pytest.mark.parametrize("over", [1, 0, None])
def test_few_documents_over_the_block_size_give_no_warning(over: int | None) -> None:
    assert over_block(over).warnings == ()


def test_warnings_of_the_caller_come_first() -> None:
    assert report(["a c e x"], ["a c f x"], SMALL, warnings=["first", "second"]).warnings[:2] == ("first", "second")


def test_a_template_of_many_warnings_does_not_flood_the_report() -> None:
    made = report(["q"], ["r"], " ".join("{a}" for _ in range(150)))
    assert len([warning for warning in made.warnings if "one option" in warning]) == 100
    assert made.warnings[-1] == "the templates have 50 more warnings"


def test_the_report_survives_json_whatever_its_size() -> None:
    huge = Template.parse("{0|1|2|3|4|5|6|7|8|9}" * 60)
    made = report(list(islice(huge, 3)), [huge[10**59]], huge, fingerprints={"corpus": "1" * 64})
    assert made.derivations == 10**60
    assert made.sources[0].distinct == 10**60
    assert CorpusReport.model_validate_json(made.model_dump_json()) == made
    assert CorpusReport.model_validate_json(made.model_dump_json(indent=1)) == made


def test_the_same_corpus_gives_the_same_report(everything: CorpusReport) -> None:
    assert seed_report(48_600) == everything


def test_names_that_are_not_unicode_are_escaped() -> None:
    made = report(["a"], ["b"], Template.parse("{a|b|c}", name="caf\udce9"))
    assert made.sources[0].name == "caf\\udce9"
    assert CorpusReport.model_validate_json(made.model_dump_json()) == made


@pytest.mark.parametrize(
    "wrong",
    [{"read": 11}, {"kept": 7}, {"train": 5}, {"rejected": {"long": 3}}, {"duplicate": -1, "empty": 3}],
)
def test_counts_that_do_not_add_up_are_rejected(wrong: dict[str, object]) -> None:
    right = {"read": 10, "kept": 6, "duplicate": 1, "empty": 1, "rejected": {"long": 1, "short": 1},
             "train": 4, "evaluation": 2}  # fmt: skip
    Counts.model_validate(right)
    with pytest.raises(ValueError, match=r"do not add up|greater than or equal"):
        Counts.model_validate(right | wrong)


def test_arguments_that_contradict_each_other_are_rejected() -> None:
    counts = Counts(read=2, kept=2, duplicate=0, empty=0, train=1, evaluation=1)
    template = Template.parse("{a|b}")
    source = template_source(template, 2)
    for train, evaluation in ((["a", "b"], ["c"]), (["a"], [])):
        with pytest.raises(ValueError, match="were read"):
            compute_report(
                train=train, evaluation=evaluation, templates=[template], sources=[source], counts=counts, split=LINE
            )
    for sources in ([], [source, source], [own_source(2)]):
        with pytest.raises(ValueError, match="sources are templates"):
            compute_report(
                train=["a"], evaluation=["b"], templates=[template], sources=sources, counts=counts, split=LINE
            )
    with pytest.raises(ValueError, match="by line"):
        Split(kind="line", held_out=((0, (0, 0), (1, 0)),))
