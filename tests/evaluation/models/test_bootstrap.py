"""Held-out losses of one model, and of two on the same documents."""

from math import exp, inf, isclose, log, nan

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.evaluation.models import bootstrap
from tasks.evaluation.models.bootstrap import (
    HeldOutLosses,
    LossFigures,
    PairedComparison,
    loss_figures,
    loss_interval,
    nats_per_document,
    paired_bootstrap,
    perplexity,
    token_loss,
)

NATS = st.floats(min_value=0, max_value=1e6)
PAIRS = st.lists(st.tuples(NATS, NATS), min_size=2, max_size=12)


def losses(*nats: float, tokens: tuple[int, ...] | None = None) -> HeldOutLosses:
    return HeldOutLosses(nats, tokens or (1,) * len(nats))


def test_a_token_weighs_the_same_in_a_long_document() -> None:
    two = losses(3.0, 1.0, tokens=(1, 3))
    assert token_loss(two) == 1.0  # and not (3 + 1/3) / 2
    assert perplexity(two) == exp(1.0)
    assert nats_per_document(two) == 2.0


def test_perplexity_is_the_number_of_equally_likely_tokens() -> None:
    perplex = perplexity(losses(10 * log(50), tokens=(10,)))
    assert perplex is not None
    assert isclose(perplex, 50)


@pytest.mark.parametrize("nats", [701.0, inf, nan])
def test_a_perplexity_that_does_not_fit_into_a_float_is_none(nats: float) -> None:
    assert perplexity(losses(nats)) is None


@pytest.mark.parametrize(
    ("nats", "tokens"), [((1.0,), (1, 2)), ((1.0, 2.0), (1,)), ((), ()), ((1.0,), (0,)), ((1.0, 1.0), (-1, 2))]
)
def test_invalid_losses_are_rejected(nats: tuple[float, ...], tokens: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="document"):
        HeldOutLosses(nats, tokens)


def test_the_interval_of_two_documents_reaches_from_one_to_the_other() -> None:
    assert loss_interval(losses(0.0, 4.0, tokens=(1, 2)), 0) == (0.0, 2.0)  # each twice with probability 1/4


def test_the_interval_of_equal_documents_is_a_point() -> None:
    assert loss_interval(losses(*[4.0] * 9, tokens=(2,) * 9), 0) == (2.0, 2.0)


def test_the_interval_is_as_wide_as_the_standard_error_says() -> None:
    found = loss_interval(losses(*[0.0, 2.0] * 200), 0)
    assert found is not None
    assert found == pytest.approx((1 - 1.96 / 20, 1 + 1.96 / 20), abs=0.01)  # deviation 1, 400 documents


def test_documents_without_tokens_do_not_break_the_interval() -> None:
    assert loss_interval(losses(0.0, 3.0, tokens=(0, 1)), 0) == (3.0, 3.0)


def test_one_document_and_an_infinite_loss_have_no_interval() -> None:
    assert loss_interval(losses(1.0), 0) is None
    assert loss_interval(losses(1.0, inf), 0) is None


def test_all_figures_of_one_model() -> None:
    assert loss_figures(losses(2.0, 2.0, tokens=(1, 1)), 0, floor=1.5) == LossFigures(
        documents=2, tokens=2, loss=2.0, low=2.0, high=2.0, perplexity=exp(2), nats_per_document=2.0, above_floor=0.5
    )


@pytest.mark.parametrize("nats", [(1.0, nan), (inf, 1.0)])
def test_figures_that_are_not_finite_are_none(nats: tuple[float, ...]) -> None:
    assert loss_figures(losses(*nats), 0, floor=1.0) == LossFigures(
        documents=2, tokens=2, loss=None, low=None, high=None, perplexity=None, nats_per_document=None, above_floor=None
    )


def test_a_challenger_that_is_better_by_the_same_everywhere_wins() -> None:
    assert paired_bootstrap(losses(1.0, 9.0, 4.0), losses(1.5, 9.5, 4.5), 0) == PairedComparison(
        documents=3, resamples=10_000, challenger=14 / 3, incumbent=15.5 / 3, difference=-0.5, low=-0.5, high=-0.5,
        better_share=1.0, wins=True,
    )  # fmt: skip


def test_another_tokenizer_changes_nothing() -> None:
    few, many = (losses(1.0, 9.0, 4.0, tokens=(tokens,) * 3) for tokens in (1, 50))
    assert paired_bootstrap(few, losses(1.5, 9.5, 4.5), 0) == paired_bootstrap(many, losses(1.5, 9.5, 4.5), 0)


def test_equal_losses_are_a_tie() -> None:
    found = paired_bootstrap(losses(1.0, 2.0, 3.0), losses(1.0, 2.0, 3.0), 0)
    assert (found.difference, found.low, found.high, found.better_share, found.wins) == (0, 0, 0, 0, False)


def test_better_on_one_of_two_documents_is_noise() -> None:
    found = paired_bootstrap(losses(0.0, 2.0), losses(3.0, 1.0), 0)
    assert (found.difference, found.low, found.high, found.wins) == (-1.0, -3.0, 1.0, False)
    assert found.better_share == pytest.approx(0.75, abs=0.02)  # not where the second comes twice


def test_better_on_most_documents_by_little_wins_only_with_enough_of_them() -> None:
    few, many = [0.0, 0.0, 1.5], [0.0, 0.0, 1.5] * 100
    assert not paired_bootstrap(losses(*few), losses(*[1.0] * 3), 0).wins
    assert paired_bootstrap(losses(*many), losses(*[1.0] * 300), 0).wins


def test_one_document_never_wins() -> None:
    found = paired_bootstrap(losses(1.0), losses(100.0), 0)
    assert found.difference == -99.0
    assert (found.low, found.high, found.better_share, found.wins) == (None, None, None, False)


@pytest.mark.parametrize("broken", [inf, nan])
def test_a_loss_that_is_not_finite_never_wins_and_is_never_beaten(broken: float) -> None:
    found = paired_bootstrap(losses(1.0, broken), losses(2.0, 2.0), 0)
    assert (found.challenger, found.incumbent, found.difference, found.wins) == (None, 2.0, None, False)
    other = paired_bootstrap(losses(2.0, 2.0), losses(1.0, broken), 0)
    assert (other.challenger, other.incumbent, other.difference, other.wins) == (2.0, None, None, False)
    assert PairedComparison.model_validate_json(other.model_dump_json()) == other


def test_losses_of_different_numbers_of_documents_cannot_be_paired() -> None:
    with pytest.raises(ValueError, match="2 documents cannot be paired with those of 3"):
        paired_bootstrap(losses(1.0, 2.0), losses(1.0, 2.0, 3.0), 0)


@settings(deadline=None, derandomize=True, max_examples=50)
@given(PAIRS, st.integers(0, 2**32))
def test_swapping_the_models_swaps_the_comparison(pairs: list[tuple[float, float]], seed: int) -> None:
    one, other = (losses(*column) for column in zip(*pairs, strict=True))
    there, back = (paired_bootstrap(*both, seed, resamples=400) for both in ((one, other), (other, one)))
    assert there.difference is not None
    assert back.difference == -there.difference
    assert there.low is not None
    assert there.high is not None
    assert (back.low, back.high) == pytest.approx((-there.high, -there.low))
    assert not (there.wins and back.wins)


@settings(deadline=None, derandomize=True, max_examples=50)
@given(PAIRS, st.integers(0, 2**32))
def test_the_same_seed_gives_the_same(pairs: list[tuple[float, float]], seed: int) -> None:
    one, other = (losses(*column) for column in zip(*pairs, strict=True))
    assert paired_bootstrap(one, other, seed, resamples=100) == paired_bootstrap(one, other, seed, resamples=100)
    assert loss_interval(one, seed, resamples=100) == loss_interval(one, seed, resamples=100)


def test_the_chunk_size_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    model = losses(*[float(number % 7) for number in range(31)])
    whole = loss_interval(model, 3)
    for chunk in (1, 100, 31 * 9_999):
        monkeypatch.setattr(bootstrap, "CHUNK", chunk)
        assert loss_interval(model, 3) == whole
    assert loss_interval(model, 4) != whole
