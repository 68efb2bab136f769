"""The distribution of document lengths."""

from statistics import median

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.evaluation.corpus.figures import Bin, Lengths
from tasks.evaluation.corpus.lengths import BINS, LengthTally, bin_bounds


def lengths(*values: int) -> Lengths:
    tally = LengthTally()
    for value in values:
        tally.add(value)
    figures = tally.figures()
    assert figures is not None
    return figures


def test_lengths_of_a_few_documents() -> None:
    assert lengths(3, 1, 4, 1) == Lengths(
        shortest=1,
        median=2.0,
        mean=2.25,
        longest=4,
        bins=(Bin(low=1, high=1, documents=2), Bin(low=2, high=2, documents=0), Bin(low=3, high=3, documents=1),
              Bin(low=4, high=4, documents=1)),
    )  # fmt: skip


def test_an_odd_number_of_documents_has_one_in_the_middle() -> None:
    assert lengths(9, 2, 3).median == 3.0


def test_there_are_no_lengths_without_documents() -> None:
    assert LengthTally().figures() is None


def test_a_narrow_range_has_bins_of_equal_width() -> None:
    assert bin_bounds(83, 136) == [83, 89, 95, 101, 107, 113, 119, 125, 131, 137]
    assert bin_bounds(16, 22) == [16, 17, 18, 19, 20, 21, 22, 23]
    assert bin_bounds(7, 7) == [7, 8]
    assert bin_bounds(100, 399) == [*range(100, 401, 30)]
    assert bin_bounds(1, 50) == [*range(1, 52, 5)]


def test_a_wide_range_has_bins_that_grow() -> None:
    bounds = bin_bounds(1, 1023)
    assert bounds == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024]
    assert bin_bounds(0, 1023)[:3] == [0, 2, 4]
    assert bin_bounds(100, 400)[:3] == [100, 115, 132]
    assert bin_bounds(1, 51)[:3] == [1, 2, 3]


@settings(deadline=None, derandomize=True)
@given(st.lists(st.integers(0, 9_999) | st.integers(0, 60), min_size=1))
def test_every_document_is_in_one_bin_and_all_figures_are_exact(values: list[int]) -> None:
    figures = lengths(*values)
    assert (figures.shortest, figures.longest) == (min(values), max(values))
    assert figures.median == median(values)
    assert figures.mean == pytest.approx(sum(values) / len(values))
    assert len(figures.bins) <= BINS
    assert [one.documents for one in figures.bins] == [
        sum(one.low <= value <= one.high for value in values) for one in figures.bins
    ]
    assert figures.bins[0].low == min(values)
    assert figures.bins[-1].high == max(values)
    assert sum(one.documents for one in figures.bins) == len(values)


def test_long_documents_keep_four_digits_and_exact_ends_and_mean() -> None:
    figures = lengths(12_345, 123_456, 123_457)
    assert (figures.shortest, figures.longest) == (12_345, 123_457)
    assert figures.mean == pytest.approx((12_345 + 123_456 + 123_457) / 3)
    assert figures.median == 123_400.0
    assert sum(one.documents for one in figures.bins) == 3
    assert lengths(12_345).median == 12_345.0
    assert (lengths(5, 12_345).shortest, lengths(5, 12_345).longest) == (5, 12_345)


def test_memory_does_not_grow_with_long_documents() -> None:
    tally = LengthTally()
    for length in range(1_000_000, 1_100_000):
        tally.add(length)
    assert len(tally._documents) == 100
