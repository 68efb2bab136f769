"""Finds documents that are nearly the same as one that was kept before.

Two documents are compared by their runs of five words (in lower case); MinHash (Broder, "On the resemblance and
containment of documents", 1997) with 128 permutations estimates which part of the runs they share, and datasketch's LSH
index finds the candidates. Not for templates: nearly all variants of a template are near duplicates of each other.
"""

from typing import TYPE_CHECKING

from tasks.errors import InputError

if TYPE_CHECKING:
    from datasketch import MinHash

WORDS = 5
"""Words in a run; a shorter document is one run."""

PERMUTATIONS = 128


class NearDuplicates:
    """The documents that were kept; about 6 KB of memory each."""

    def __init__(self, threshold: float) -> None:
        """Documents that share at least `threshold` (0 to 1) of their runs, as estimated, are near duplicates.

        InputError where datasketch is not installed.
        """
        try:
            from datasketch import MinHashLSH
        except ImportError as error:
            raise InputError(
                "--corpus.near-duplicates needs the library datasketch, which is not installed; "
                "run this in the checkout: pip install -c requirements.lock -e '.[near-duplicates]'"
            ) from error
        self._threshold = threshold
        self._index = MinHashLSH(threshold=threshold, num_perm=PERMUTATIONS)
        self._kept: list[MinHash] = []

    def is_new(self, document: str) -> bool:
        """Whether no kept document is nearly the same; if so, it is kept. The first of several is kept."""
        from datasketch import LeanMinHash, MinHash

        sketch = MinHash(num_perm=PERMUTATIONS)
        sketch.update_batch(_runs(document))
        if any(sketch.jaccard(self._kept[found]) >= self._threshold for found in self._index.query(sketch)):
            return False
        self._index.insert(len(self._kept), sketch, check_duplication=False)
        self._kept.append(LeanMinHash(sketch))
        return True


def _runs(document: str) -> list[bytes]:
    words = document.lower().split()
    ends = range(WORDS, max(len(words), WORDS) + 1)
    return [" ".join(words[end - WORDS : end]).encode() for end in ends]
