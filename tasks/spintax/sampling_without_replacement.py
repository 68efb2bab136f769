"""Draws distinct variants: no text twice, even where several derivations give the same one.

The order is that of the derivations (see sampling.py), without each text that came before, so a text that many
derivations give tends to come early, and the first n of a longer draw are the shorter draw. Where as many distinct
variants are proven as there are derivations, nothing is remembered; elsewhere a 16-byte digest of every text drawn is,
some 100 bytes per variant as Python stores it.

In `{|a}{|a}…` most derivations repeat a text, and the last texts would never come. So after `PATIENCE` repetitions in
a row, the rest is taken from the sorted list of distinct variants, in the seed's order of its numbers.
"""

import hashlib
import sys
from collections.abc import Callable, Iterator
from itertools import islice

from tasks.spintax.distinct import Variants
from tasks.spintax.permutation import permute
from tasks.spintax.sampling import draw_texts
from tasks.spintax.source import Source
from tasks.spintax.tree import Tree

PATIENCE = 10_000
"""Repetitions in a row after which derivations are no longer drawn; fewer where a variant passes over 200 nodes."""

_PATIENT_NODES = 2_000_000
_FEW = 1000
"""Remembering this many digests takes less time than computing the number of distinct variants."""

Distinct = Callable[[], int | None]
"""Returns the number of distinct variants, None where it is unknown; computed at the first call."""


def sample_without_replacement(tree: Tree, source: Source, number: int, seed: int, distinct: Distinct) -> Iterator[str]:
    """Yield `number` distinct variants, all of them where there are fewer.

    SpintaxError `too-many` where the next one is not found in `PATIENCE` derivations and distinct variants are not
    counted.
    """
    total = tree.counts[0]
    number = min(number, sys.maxsize)  # the most that islice takes
    texts = draw_texts(tree, seed, expected=min(number, total))
    if number <= 1 or total == 1 or (number > _FEW and distinct() == total):
        return islice(texts, min(number, total))
    return islice(_without_repetitions(texts, tree, source, seed, distinct), number)


def _without_repetitions(
    texts: Iterator[str], tree: Tree, source: Source, seed: int, distinct: Distinct
) -> Iterator[str]:
    seen: set[bytes] = set()
    patience, repeated = 0, 0
    for text in texts:
        if _is_new(text, seen):
            yield text
            repeated = 0
            continue
        if not patience:  # about a second of repetitions, however long the variants are
            patience = max(10, min(PATIENCE, _PATIENT_NODES // tree.longest([1] * tree.end)))
        repeated += 1
        if repeated == patience or distinct() == len(seen):
            break
    else:
        return
    count = distinct()
    if count is None:
        message = "nearly every derivation repeats a drawn variant, and the number of distinct ones is unknown"
        raise source.error("too-many", message, "draw fewer, or remove options that give the same texts", 0)
    if count > len(seen):
        variants = Variants(tree)
        yield from (text for text in map(variants.text_at, permute(count, seed)) if _is_new(text, seen))


def _is_new(text: str, seen: set[bytes]) -> bool:
    """Whether a text has not come before; it is remembered."""
    before = len(seen)
    seen.add(hashlib.blake2b(text.encode(), digest_size=16).digest())
    return len(seen) > before
