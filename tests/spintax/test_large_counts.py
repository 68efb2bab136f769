"""Distinct counts of long templates: lists of names, and nested groups that end in the same texts."""

import time

import pytest

from tasks.spintax import Template


def test_long_lists_of_names_are_counted_and_read_in_no_time() -> None:
    slots = [[f"{prefix}{number * number}" for number in range(3000)] + [""] for prefix in ("n", "mm", "\u00e9.*")]
    template = Template.parse(" ".join("{" + "|".join(slot) + "}" for slot in slots), name="names")
    began = time.process_time()
    assert template.distinct == template.count == 3001**3
    for choices in ((0, 0, 0), (3000, 3000, 3000), (17, 2999, 1234), (3000, 5, 3000)):
        text = " ".join(slot[choice] for slot, choice in zip(slots, choices, strict=True))
        for _ in range(500):
            assert template.choices_of(text) == choices
        assert template.choices_of(text + "0" * 9) is None
    assert time.process_time() - began < 10, "some 2 s; one option after the other: over a minute"


@pytest.mark.parametrize("inside", ["c", "{c|d}"])
def test_many_ways_through_the_same_texts_are_counted_once(inside: str) -> None:
    depth = 10_000
    template = Template.parse("{a|b" * depth + inside + "X}" * depth)
    began = time.process_time()
    assert template.distinct == template.count == depth + 1 + (inside != "c")
    assert time.process_time() - began < 20, "half a second; following each way to its end takes minutes"
