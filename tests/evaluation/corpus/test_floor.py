"""The loss floor of templates."""

from math import exp, log

import pytest

from tasks.evaluation.corpus.figures import Floor
from tasks.evaluation.corpus.floor import HeldOutSize, loss_floor
from tasks.spintax import Template, count_distinct


def floor(*templates: str, drawn: tuple[int, ...] = (10,), held_out: HeldOutSize | None = None) -> Floor:
    parsed = [Template.parse(text) for text in templates]
    return loss_floor(parsed, drawn, count_distinct(parsed), mean_words=4.0, held_out=held_out)


def test_a_template_of_twelve_equally_likely_variants_has_ln_12() -> None:
    found = floor("{a|b} {c|d} {e|f|g} x", held_out=HeldOutSize(documents=2, tokens=10))
    assert (found.kind, found.reason) == ("exact", "")
    assert found.nats_per_document == pytest.approx(2.484907)
    assert found.bits_per_document == pytest.approx(3.584963)
    assert found.nats_per_word == pytest.approx(0.621227)
    assert found.nats_per_token == pytest.approx(0.496981)  # ln 12 * 2 / 10
    assert found.perplexity == pytest.approx(1.643752)  # 12 ** 0.2


def test_several_templates_add_the_entropy_of_the_choice_between_them() -> None:
    found = floor("{a|b}", "{c|d|e|f}", drawn=(30, 10))
    assert found.kind == "exact"
    assert found.nats_per_document == pytest.approx(0.75 * (log(2) - log(0.75)) + 0.25 * (log(4) - log(0.25)))
    assert floor("{a|b}", "{c|d|e|f}", drawn=(2, 4)).nats_per_document == pytest.approx(log(6))


def test_a_template_that_nothing_was_drawn_from_adds_nothing() -> None:
    assert floor("{a|b}", "{c|d|e|f}", drawn=(0, 3)).nats_per_document == pytest.approx(log(4))


@pytest.mark.parametrize(
    ("templates", "drawn", "bound", "reason"),
    [
        (("{a|ab}{b|}",), (1,), log(3), "several derivations"),
        (("{a|b}", "{b|c}"), (1, 1), log(4), "in common"),
        (("{|a}" * 3 + "{b|c}",), (1,), log(8), "several derivations"),
    ],
)
def test_the_floor_is_an_upper_bound_if_texts_coincide(
    templates: tuple[str, ...], drawn: tuple[int, ...], bound: float, reason: str
) -> None:
    found = floor(*templates, drawn=drawn)
    assert found.kind == "upper bound"
    assert reason in found.reason
    assert found.nats_per_document == pytest.approx(bound)


def test_unknown_distinct_variants_are_bounded_by_the_derivations() -> None:
    template = Template.parse("{a|b|c}")
    template.__dict__["distinct"] = None
    found = loss_floor([template], [1], None, mean_words=1.0, held_out=None)
    assert found.kind == "upper bound"
    assert found.nats_per_document == pytest.approx(log(3))
    assert "not known" in found.reason
    known = [Template.parse("{a|b}"), Template.parse("{c|d}")]
    found = loss_floor(known, [1, 1], None, mean_words=1.0, held_out=None)
    assert found.kind == "upper bound"
    assert found.nats_per_document == pytest.approx(log(4))


def test_the_floor_per_token_and_per_word_needs_tokens_and_words() -> None:
    found = floor("{a|b}")
    assert (found.nats_per_token, found.perplexity) == (None, None)
    assert floor("{a|b}", held_out=HeldOutSize(0, 0)).nats_per_token is None
    assert loss_floor([Template.parse("{a|b}")], [1], 2, mean_words=0.0, held_out=None).nats_per_word is None


def test_a_huge_template_has_a_floor() -> None:
    found = floor("{0|1|2|3|4|5|6|7|8|9}" * 400, held_out=HeldOutSize(1, 1))
    assert found.nats_per_document == pytest.approx(400 * log(10))
    assert found.perplexity is None  # no float is that large
    assert floor("{0|1}" * 400, held_out=HeldOutSize(1, 1)).perplexity == pytest.approx(exp(400 * log(2)))


def test_the_floor_is_unknown_without_documents() -> None:
    assert floor("{a|b}", drawn=(0,)) == Floor(kind="unknown", reason="no document was drawn from a template")
    assert Floor(kind="unknown", reason="why").kind == "unknown"
    assert Floor(kind="unknown", reason="why").nats_per_document is None
