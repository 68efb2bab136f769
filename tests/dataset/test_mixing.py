"""No template gives more documents than it has, and together they give the number that is wanted."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.dataset import share_out
from tasks.dataset.mixing import Mix

MIXES = st.sampled_from(["derivations", "equal"])


@pytest.mark.parametrize(
    ("available", "wanted", "mix", "shares"),
    [
        ([10, 30], 20, "derivations", [5, 15]),
        ([10, 30], 20, "equal", [10, 10]),
        ([10, 30], 30, "equal", [10, 20]),
        ([10, 30], 100, "derivations", [10, 30]),
        ([10, 30], 100, "equal", [10, 30]),
        ([1, 1, 1], 2, "derivations", [1, 1, 0]),
        ([100, 100, 100], 100, "equal", [33, 33, 34]),
        ([48_600, 10**30], 1000, "derivations", [0, 1000]),
        ([48_600, 10**30], 1000, "equal", [500, 500]),
        ([5], 3, "equal", [3]),
        ([], 3, "derivations", []),
        ([], 3, "equal", []),
    ],
)
def test_shares(available: list[int], wanted: int, mix: Mix, shares: list[int]) -> None:
    assert share_out(available, wanted, mix) == shares


@given(st.lists(st.integers(0, 10**40), max_size=8), st.integers(0, 10**41), MIXES)
def test_the_shares_are_what_is_wanted_and_what_there_is(available: list[int], wanted: int, mix: Mix) -> None:
    shares = share_out(available, wanted, mix)
    assert sum(shares) == min(wanted, sum(available))
    assert all(0 <= share <= count for share, count in zip(shares, available, strict=True))


@given(st.lists(st.integers(1, 10**6), min_size=1, max_size=8), st.integers(0, 10**6))
def test_shares_by_derivations_are_exact_but_for_rounding(available: list[int], wanted: int) -> None:
    wanted = min(wanted, sum(available))
    for share, count in zip(share_out(available, wanted, "derivations"), available, strict=True):
        assert abs(share - wanted * count / sum(available)) < 1 + 1e-6
