"""Shares a number of documents out to several templates."""

from collections.abc import Sequence
from typing import Literal

Mix = Literal["derivations", "equal"]


def share_out(available: Sequence[int], wanted: int, mix: Mix) -> list[int]:
    """Return how many documents to draw from each; their sum is min(wanted, sum(available)).

    `derivations`: in proportion to what is available, rounded by largest remainders, so that each variant is equally
    likely. `equal`: the same number from each; what a template lacks, the others give. Exact for integers of any size.
    """
    wanted = min(wanted, sum(available))
    if mix == "equal":
        return _equal(available, wanted)
    total = sum(available) or 1
    shares = [wanted * count // total for count in available]
    by_remainder = sorted(range(len(available)), key=lambda number: (-(wanted * available[number] % total), number))
    for number in by_remainder[: wanted - sum(shares)]:
        shares[number] += 1
    return shares


def _equal(available: Sequence[int], wanted: int) -> list[int]:
    shares = [0] * len(available)
    smallest_first = sorted(range(len(available)), key=lambda number: (available[number], number))
    for done, number in enumerate(smallest_first):
        shares[number] = min(available[number], wanted // (len(available) - done))
        wanted -= shares[number]
    return shares
