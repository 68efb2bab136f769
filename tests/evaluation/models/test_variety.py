"""Which options the samples use, and how evenly."""

from math import log

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.evaluation.models.variety import SlotVariety, Variety, entropy, expected_entropy, measure_variety
from tasks.spintax import Template

FOUR = Template.parse("{a|b|c|d}", name="four.spintax", line=3)
TWO_SLOTS = Template.parse("{a|b} {c|d|e} x")


def measured(samples: list[str], *templates: Template) -> Variety:
    found = measure_variety(samples, templates)
    assert found is not None
    return found


def test_entropy_is_that_of_shannon() -> None:
    assert entropy([]) == 0.0
    assert entropy([1.0, 0.0]) == 0.0
    assert entropy([0.25] * 4) == pytest.approx(log(4))
    assert entropy([0.5, 0.25, 0.25]) == pytest.approx(1.5 * log(2))  # 1.5 bits


def test_few_draws_show_less_entropy() -> None:
    assert expected_entropy(log(4), 4, 30) == pytest.approx(log(4) - 0.05)
    assert expected_entropy(log(2), 2, 1) == pytest.approx(log(2) - 0.5)
    assert expected_entropy(log(4), 4, 1) == 0.0  # and not below
    assert expected_entropy(0.0, 1, 1) == 0.0


def test_a_slot_is_measured_by_the_options_that_the_samples_use() -> None:
    found = measured(["a", "a", "b", "c", "nonsense", "A"], FOUR)
    assert found.templates[0].template == "four.spintax:3"
    assert found.templates[0].samples == 4
    (slot,) = found.templates[0].slots
    assert (slot.slot, slot.options, slot.seen) == (1, 4, 3)
    assert slot.entropy == pytest.approx(1.5 * log(2))
    assert slot.entropy_template == pytest.approx(2 * log(2))
    assert slot.entropy_expected == pytest.approx(2 * log(2) - 3 / 8)
    assert slot.normalised == pytest.approx(0.75)


def test_all_variants_are_as_even_as_the_template() -> None:
    found = measured(list(TWO_SLOTS), TWO_SLOTS)
    assert (found.options, found.seen, found.coverage) == (5, 5, 1.0)
    assert found.smallest_normalised == pytest.approx(1.0)
    assert found.mean_normalised == pytest.approx(1.0)


def test_a_collapsed_slot_is_the_smallest() -> None:
    found = measured(["a c x", "a d x", "a e x"], TWO_SLOTS)
    assert (found.options, found.seen, found.coverage) == (5, 4, 0.8)
    assert found.smallest_normalised == 0.0
    assert found.mean_normalised == pytest.approx(0.5)


def test_options_that_are_not_equally_likely_are_compared_with_their_shares() -> None:
    uneven = Template.parse("{a {1|2|3}|b}")  # a in 3 of 4 derivations
    (slot,) = measured(list(uneven), uneven).templates[0].slots
    assert slot.entropy_template == pytest.approx(2 * log(2) - 0.75 * log(3))
    assert slot.normalised == pytest.approx(1.0)
    even = measured(["a 1", "b"], uneven).smallest_normalised
    assert even == pytest.approx(log(2) / (2 * log(2) - 0.75 * log(3)))


def test_equal_options_count_once() -> None:
    (slot,) = measured(["a", "b"], Template.parse("{a|b|a}")).templates[0].slots
    assert (slot.options, slot.seen) == (2, 2)
    assert slot.entropy_template == pytest.approx(log(3) - log(2) * 2 / 3)


def test_a_slot_of_one_option_leaves_nothing_to_choose() -> None:
    found = measured(["a c", "a d"], Template.parse("{a} {c|d}"))
    assert found.templates[0].slots[0] == SlotVariety(
        slot=1, options=1, seen=1, entropy=0.0, entropy_template=0.0, entropy_expected=0.0, normalised=None
    )
    assert found.smallest_normalised == pytest.approx(1.0)


def test_each_template_has_its_own_samples() -> None:
    found = measured(["a c x", "b", "b", "b"], TWO_SLOTS, FOUR)
    assert [template.samples for template in found.templates] == [1, 3]
    assert (found.options, found.seen) == (9, 3)
    both = measured(["a"], FOUR, Template.parse("{a|z}"))
    assert [template.samples for template in both.templates] == [1, 1]


@pytest.mark.parametrize("samples", [[], [""], ["nonsense"]])
def test_without_a_valid_sample_no_entropy_is_known(samples: list[str]) -> None:
    found = measured(samples, FOUR)
    assert found.templates[0].slots == (
        SlotVariety(
            slot=1, options=4, seen=0, entropy=None, entropy_template=found.templates[0].slots[0].entropy_template,
            entropy_expected=None, normalised=None,
        ),
    )  # fmt: skip
    assert (found.coverage, found.smallest_normalised, found.mean_normalised) == (0.0, None, None)


def test_without_a_template_or_a_slot_there_is_nothing_to_cover() -> None:
    assert measure_variety(["a"], []) is None
    found = measured(["plain"], Template.parse("plain"))
    assert (found.options, found.coverage, found.smallest_normalised) == (0, None, None)
    assert found.templates[0].samples == 1


def test_a_template_with_more_derivations_than_a_float_can_hold_has_an_entropy() -> None:
    huge = Template.parse("{" + "{a|b}" * 2000 + "|c}")
    (slot,) = measured(["c"], huge).templates[0].slots
    assert slot.entropy_template == 0.0  # to the last digit of a float
    assert slot.normalised is None


@settings(deadline=None, derandomize=True)
@given(st.lists(st.sampled_from(["a", "b", "c", "d"]), min_size=1))
def test_the_figures_are_in_bounds_and_the_order_of_the_samples_changes_nothing(samples: list[str]) -> None:
    found = measured(samples, FOUR)
    assert found == measured(sorted(samples), FOUR)
    assert found.seen == len(set(samples))
    assert found.smallest_normalised is not None
    assert 0 <= found.smallest_normalised <= 1 + 1e-12
    assert Variety.model_validate_json(found.model_dump_json()) == found
