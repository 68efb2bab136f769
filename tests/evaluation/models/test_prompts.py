"""The prompts of a comparison, and their flags."""

import pytest

from tasks.evaluation.models.prompts import OUTSIDE, SPACE, beginning, choose_prompts, flags_of
from tasks.spintax import Template

TEMPLATE = Template.parse("{you|we} can {make|build} a {big|small} sandwich")


@pytest.mark.parametrize(
    ("document", "begun"),
    [
        ("we can make a big sandwich", "we can"),
        ("we  can make a big sandwich", "we  can"),
        ("one", "one"),
        (" ".join(map(str, range(99))), "0 1 2 3 4 5 6 7"),
        ("", ""),
        (" a  a a", " a"),
        ("a aa a aa a aa", "a aa"),
    ],
)
def test_a_prompt_is_the_beginning_of_a_document(document: str, begun: str) -> None:
    assert beginning(document) == begun
    assert document.startswith(begun)


def test_each_prompt_occurs_once_and_has_a_source() -> None:
    prompts = choose_prompts(["we can", "x", "x"], ["we can make a big sandwich", "you can build a", "", "you b"], [])
    assert [(one.text, one.source) for one in prompts] == [
        ("we can", "given"), ("x", "given"), ("you", "held-out document"),
    ]  # fmt: skip


def test_prompts_that_are_hard_to_judge_are_flagged() -> None:
    assert flags_of("you can", [TEMPLATE]) == ()
    assert flags_of("you can ", [TEMPLATE]) == (SPACE,)
    assert flags_of("they can", [TEMPLATE]) == (OUTSIDE,)
    assert flags_of("they can\n", [TEMPLATE]) == (SPACE, OUTSIDE)
    assert flags_of("they can", []) == (), "without templates no prompt is outside"
    assert flags_of("they can", [TEMPLATE, Template.parse("they {can|may}")]) == ()
    assert flags_of("b", [Template.parse("{a|a b}{ b|}")]) == (), "unknown if variants coincide"
