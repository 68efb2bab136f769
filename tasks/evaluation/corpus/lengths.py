"""Count document lengths in one pass and bounded memory.

Lengths up to 9,999 are exact; of longer ones the median and the histogram keep four digits.
"""

from collections import Counter
from itertools import accumulate, pairwise

from tasks.evaluation.corpus.figures import Bin, Lengths

BINS = 10
"""Maximum number of bins in a histogram."""

_EXACT = 10_000


class LengthTally:
    """Counts lengths; holds at most 10,000 numbers, and 9,000 more for each further digit."""

    def __init__(self) -> None:
        self._documents: Counter[int] = Counter()
        self._cut = 0  # sum of the digits that were cut off long lengths
        self._long: tuple[int, int] | None = None  # shortest and longest of the long documents

    def add(self, length: int) -> None:
        """Count one document."""
        cut = 0
        if length >= _EXACT:
            shortest, longest = self._long or (length, length)
            self._long = min(shortest, length), max(longest, length)
            cut = length % 10 ** (len(str(length)) - 4)
        self._cut += cut
        self._documents[length - cut] += 1

    def figures(self) -> Lengths | None:
        """The distribution; None if there was no document."""
        if not self._documents:
            return None
        shortest, longest = min(self._documents), max(self._documents)
        if self._long:
            shortest, longest = self._long[0] if shortest >= _EXACT else shortest, self._long[1]
        total = self._cut + sum(length * documents for length, documents in self._documents.items())
        return Lengths(
            shortest=shortest,
            median=max(_median(self._documents), float(shortest)),
            mean=total / self._documents.total(),
            longest=longest,
            bins=self._bins(shortest, longest),
        )

    def _bins(self, shortest: int, longest: int) -> tuple[Bin, ...]:
        bounds = bin_bounds(shortest, longest)
        counts = [0] * (len(bounds) - 1)
        number = 0
        for length, documents in sorted(self._documents.items()):
            while length >= bounds[number + 1]:
                number += 1
            counts[number] += documents
        return tuple(
            Bin(low=low, high=end - 1, documents=documents)
            for (low, end), documents in zip(pairwise(bounds), counts, strict=True)
        )


def bin_bounds(shortest: int, longest: int) -> list[int]:
    """The start of each bin, then the longest length + 1; bins of equal width in a narrow range, else growing ones."""
    span = longest + 1 - shortest
    if span <= 5 * BINS or longest < 4 * shortest:
        width = -(-span // BINS)
        return [*range(shortest, longest + 1, width), longest + 1]
    growth = (longest + 1) / max(shortest, 1)
    inner = {round(max(shortest, 1) * growth ** (number / BINS)) for number in range(1, BINS)}
    return sorted({shortest, longest + 1} | {bound for bound in inner if shortest < bound <= longest})


def _median(documents: Counter[int]) -> float:
    """The middle length, or the mean of the two in the middle."""
    lengths = sorted(documents)
    total = documents.total()
    ranks = list(accumulate(documents[length] for length in lengths))
    low = next(length for length, rank in zip(lengths, ranks, strict=True) if rank > (total - 1) // 2)
    high = next(length for length, rank in zip(lengths, ranks, strict=True) if rank > total // 2)
    return (low + high) / 2
