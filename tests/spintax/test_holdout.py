"""Claims about pairs to hold out: rare enough, and no option vanishes with them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.settings import ROOT
from tasks.spintax import Pair, Template, choose_pairs, read_templates

SIZES = st.lists(st.integers(1, 4), min_size=1, max_size=4)


def template_of(sizes: list[int]) -> Template:
    return Template.parse(
        " ".join("{" + "|".join(f"o{slot}x{o}" for o in range(n)) + "}" for slot, n in enumerate(sizes))
    )


@given(SIZES, st.floats(0.01, 0.9), st.integers(0, 5))
def test_held_out_derivations_are_few_and_every_option_is_left(sizes: list[int], share: float, seed: int) -> None:
    template = template_of(sizes)
    pairs = choose_pairs(template, share, seed)
    choices = [template.choices(index) for index in range(template.count)]
    left = [some for some in choices if not any(pair.is_in(some) for pair in pairs)]
    assert bool(pairs) == (sum(size > 1 for size in sizes) > 1)
    if len(pairs) > 1:
        assert len(choices) - len(left) <= share * len(choices)
    for slot, size in enumerate(sizes):
        assert {some[slot] for some in left} == set(range(size))
    ends = [end for pair in pairs for end in (pair[:2], pair[2:])]
    assert len(ends) == len(set(ends)), "an option is in one pair at most"


def test_the_pairs_of_a_seed_never_change() -> None:
    [cheese] = read_templates(ROOT / "data" / "templates" / "cheese.spintax")
    assert choose_pairs(cheese, 0.1, 0) == [(2, 0, 4, 3), (4, 2, 5, 3)]
    assert choose_pairs(cheese, 0.1, 1) == [(4, 2, 5, 3), (4, 0, 5, 2)]


def test_the_weight_of_an_option_is_that_of_its_derivations() -> None:
    template = Template.parse("{a|{b|c|d}} {x|y}")
    assert [[float(weight) for weight in slot] for slot in template.slot_weights] == [[0.25, 0.75], [0.5, 0.5]]
    for seed in range(20):
        [pair] = choose_pairs(template, 0.2, seed)
        assert pair[:2] == (0, 0), "the pairs with the three variants are too common"


def test_where_every_pair_is_too_common_the_rarest_is_held_out() -> None:
    [pair] = choose_pairs(Template.parse("{a|{b|c}} {x|y}"), 0.01, 0)
    assert pair[:2] == (0, 0)


@pytest.mark.parametrize("text", ["", "no group", "{a|b|c}", "{a|b} {c}", "{{a|b} {c|d}}"])
def test_without_two_slots_of_two_options_there_is_no_pair(text: str) -> None:
    assert choose_pairs(Template.parse(text), 0.1, 0) == []


def test_a_template_of_very_many_options_gives_pairs_of_some() -> None:
    template = template_of([300] * 30)
    pairs = choose_pairs(template, 0.1, 0)
    assert len({slot for pair in pairs for slot in (pair.slot, pair.other_slot)}) == 12
    assert 100 < len(pairs) <= 12 * 25 / 2


def test_a_pair_is_in_what_takes_both_its_options() -> None:
    pair = Pair(0, 1, 2, 0)
    assert pair.is_in((1, 5, 0))
    assert not pair.is_in((1, 5, 1))
    assert not pair.is_in((0, 5, 0))
