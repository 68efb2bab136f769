"""Coverage of options and of pairs of options."""

from collections.abc import Iterable, Sequence
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.evaluation.corpus.coverage import MAX_PAIRS, CoverageTally
from tasks.evaluation.corpus.figures import Coverage, HeldOutPair
from tasks.spintax import Template

SMALL = "{a|b} {c|d} {e|f|g} x"


def coverage(
    templates: Sequence[str],
    documents: Iterable[str],
    held_out: Sequence[HeldOutPair] = (),
    max_pairs: int = MAX_PAIRS,
) -> Coverage:
    parsed = [Template.parse(text) for text in templates]
    tally = CoverageTally(parsed, held_out, max_pairs)
    for document in documents:
        for number, template in enumerate(parsed):
            choices = template.choices_of(document)
            if choices is not None:
                tally.add(number, choices)
    figures = tally.figures()
    assert figures is not None
    return figures


def test_all_variants_hold_all_options_and_all_pairs() -> None:
    figures = coverage([SMALL], Template.parse(SMALL))
    assert (figures.options_seen, figures.options) == (7, 7)
    assert (figures.pairs_seen, figures.pairs) == (16, 16)
    assert (figures.pairs_held_out, figures.pairs_held_out_seen, figures.never_seen) == (0, 0, ())


def test_two_documents_hold_few_options_and_pairs() -> None:
    figures = coverage([SMALL], ["a c e x", "a d e x", "a d e x", "no variant"])
    assert (figures.options_seen, figures.options) == (4, 7)  # a c d e
    assert (figures.pairs_seen, figures.pairs) == (5, 16)  # ac ae ce ad de
    assert [(one.template, one.slot, one.option) for one in figures.never_seen] == [
        ("template:1", 1, "b"),
        ("template:1", 3, "f"),
        ("template:1", 3, "g"),
    ]


def test_a_held_out_pair_is_not_possible_in_training() -> None:
    held_out = [(0, (0, 1), (2, 2)), (0, (2, 2), (0, 1))]  # b and g, named twice
    documents = [text for text in Template.parse(SMALL) if not ("b" in text and "g" in text)]
    figures = coverage([SMALL], documents, held_out)
    assert (figures.pairs_seen, figures.pairs) == (15, 15)
    assert (figures.pairs_held_out, figures.pairs_held_out_seen) == (1, 0)
    assert [one.option for one in (figures.held_out[0].first, figures.held_out[0].second)] == ["b", "g"]
    assert (figures.held_out[0].first.slot, figures.held_out[0].second.slot) == (1, 3)


@pytest.mark.parametrize("max_pairs", [MAX_PAIRS, 0])
def test_a_held_out_pair_that_is_seen_is_counted(max_pairs: int) -> None:
    held_out = [(0, (0, 1), (2, 2)), (0, (0, 0), (1, 0))]
    figures = coverage([SMALL], [*Template.parse(SMALL)][::-1], held_out, max_pairs)  # complete before the last
    assert (figures.pairs_held_out, figures.pairs_held_out_seen) == (2, 2)
    assert (figures.pairs_seen, figures.pairs) == ((14, 14) if max_pairs else (None, None))
    figures = coverage([SMALL], ["b c g x", "a d g x"], held_out, max_pairs)
    assert (figures.pairs_held_out, figures.pairs_held_out_seen) == (2, 1)
    assert (figures.pairs_seen, figures.pairs) == ((5, 14) if max_pairs else (None, None))  # bc cg ad ag dg


def test_beyond_the_limit_pairs_are_not_counted() -> None:
    figures = coverage([SMALL], ["a c e x"], max_pairs=15)
    assert (figures.pairs_seen, figures.pairs) == (None, None)
    assert (figures.options_seen, figures.options) == (3, 7)
    assert coverage([SMALL], ["a c e x"], max_pairs=16).pairs == 16
    assert coverage([SMALL, SMALL], ["a c e x"], max_pairs=31).pairs is None


def test_memory_is_one_bit_per_pair() -> None:
    template = Template.parse("{" + "|".join(map(str, range(1000))) + "} {a|b|c}")
    tally = CoverageTally([template], [], MAX_PAIRS)
    for number in range(1000):
        tally.add(0, (number, number % 3))
    assert sum(partners.bit_length() for partners in tally._templates[0].partners) <= 3000


def test_a_template_of_one_slot_or_none_has_no_pairs() -> None:
    figures = coverage(["{a|b}!"], ["a!"])
    assert (figures.options_seen, figures.options, figures.pairs_seen, figures.pairs) == (1, 2, 0, 0)
    figures = coverage(["plain"], ["plain"])
    assert (figures.options_seen, figures.options, figures.pairs_seen, figures.pairs) == (0, 0, 0, 0)
    assert CoverageTally([], [], MAX_PAIRS).figures() is None


def test_equal_options_count_once() -> None:
    figures = coverage(["{a|a|b} {c|d|c}"], ["a c", "a d", "b c", "b d"])
    assert (figures.options_seen, figures.options) == (4, 4)
    assert (figures.pairs_seen, figures.pairs) == (4, 4)
    held_out = [(0, (0, 1), (1, 2))]  # the second a and the second c: as the first ones
    figures = coverage(["{a|a|b} {c|d|c}"], ["a c", "a d"], held_out)
    assert (figures.pairs_held_out, figures.pairs_held_out_seen, figures.pairs) == (1, 1, 3)


def test_templates_count_together_and_a_document_counts_for_each_that_it_belongs_to() -> None:
    figures = coverage(["{a|b} {c|d}", "{a|z} c"], ["a c"])
    assert (figures.options_seen, figures.options) == (3, 6)
    assert (figures.pairs_seen, figures.pairs) == (1, 4)


def test_only_the_first_ten_are_listed() -> None:
    text = "{" + "|".join("abcdefghijklmn") + "}{" + "|".join("ABCDEFGHIJKLMN") + "}"
    figures = coverage([text], ["aA"], [(0, (0, number), (1, number)) for number in range(1, 14)])
    assert [one.option for one in figures.never_seen] == [*"bcdefghijk"]
    assert [one.first.option for one in figures.held_out] == [*"bcdefghijk"]
    assert figures.pairs_held_out == 13


@pytest.mark.parametrize(
    "pair",
    [(1, (0, 0), (1, 0)), (0, (3, 0), (1, 0)), (0, (0, 2), (1, 0)), (0, (0, 0), (0, 1)), (0, (-1, 0), (0, 0)),
     (-1, (0, 0), (1, 0)), (0, (0, -1), (1, 0))],
)  # fmt: skip
def test_a_pair_that_does_not_exist_is_rejected(pair: HeldOutPair) -> None:
    with pytest.raises(ValueError, match="held-out pair"):
        CoverageTally([Template.parse(SMALL)], [pair], MAX_PAIRS)


@settings(deadline=None, derandomize=True)
@given(st.lists(st.integers(1, 5), max_size=4), st.data())
def test_pairs_agree_with_a_set_of_pairs(sizes: list[int], data: st.DataObject) -> None:
    text = "".join("{" + "|".join(f"{slot}{option}" for option in range(size)) + "}" for slot, size in enumerate(sizes))
    template = Template.parse(text)
    choices = st.tuples(*(st.integers(0, size - 1) for size in sizes))
    documents = data.draw(st.lists(choices, max_size=20))
    tally = CoverageTally([template], [], MAX_PAIRS)
    for document in documents:
        tally.add(0, document)
    figures = tally.figures()
    assert figures is not None
    assert figures.options_seen == len({one for document in documents for one in enumerate(document)})
    assert figures.pairs_seen == len({pair for one in documents for pair in combinations(enumerate(one), 2)})
    assert figures.pairs == sum(one * other for one, other in combinations(sizes, 2))
