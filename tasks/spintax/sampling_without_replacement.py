"""Draws distinct variants: no text twice, even where several derivations give the same one.

What comes in: templates' trees, how many, a seed. What it leaves: texts; the first n of a longer draw are the shorter.
The order is that of the derivations (see sampling.py), less every text that came before, so a text that many
derivations give tends to come early. Where as many distinct variants are proven as there are derivations, nothing is
remembered; elsewhere a 16-byte digest of every text drawn is, some 100 bytes a variant as Python holds it.

In `{|a}{|a}…` most derivations repeat a text, and the last texts would never come. So after `PATIENCE` repetitions in
a row, the rest is taken from the sorted list of distinct variants, in the seed's order of its numbers.
"""

import hashlib
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import islice

from tasks.spintax.distinct import Variants
from tasks.spintax.errors import SpintaxError
from tasks.spintax.permutation import permute
from tasks.spintax.sampling import draw_texts
from tasks.spintax.source import Source
from tasks.spintax.tree import Tree
from tasks.spintax.union import join

PATIENCE = 10_000
"""Repetitions in a row after which derivations are no longer drawn; fewer where a variant passes over 200 nodes."""

_PATIENT_NODES = 2_000_000
_FEW = 1000
"""So many digests are remembered sooner than the number of distinct variants is worked out."""

Distinct = Callable[[], int | None]
"""Works out the number of distinct variants of all trees together, None where it is unknown."""


def draw_unrepeated(
    trees: Sequence[Tree], number: int, seed: int, distinct: Distinct, unknown: SpintaxError
) -> Iterator[str]:
    """Yield `number` distinct variants of the trees together, all of them where there are fewer.

    Raises `unknown` where the next one is not found among `PATIENCE` derivations and distinct variants are uncounted.
    """
    total = sum(tree.counts[0] for tree in trees)
    number = min(number, sys.maxsize)  # islice counts no further, nor does anybody
    distinct = cache(distinct)
    texts = draw_texts(trees, seed, expected=min(number, total))
    if number <= 1 or total == 1 or (number > _FEW and distinct() == total):
        return islice(texts, min(number, total))
    return islice(_without_repetitions(texts, trees, seed, distinct, unknown), number)


def refuse_unknown(source: Source) -> SpintaxError:
    """Return the error of a draw that may never find another variant."""
    message = "nearly every derivation repeats a variant that is drawn, and how many distinct ones there are is unknown"
    return source.error("too-many", message, "draw fewer, or remove options that give the same texts", 0)


def patience_for(trees: Sequence[Tree]) -> int:
    """Return how many repetitions in a row are gone through: about a second's, however long the variants are."""
    return max(10, min(PATIENCE, _PATIENT_NODES // max(tree.longest([1] * tree.end) for tree in trees)))


def _without_repetitions(
    texts: Iterator[str], trees: Sequence[Tree], seed: int, distinct: Distinct, unknown: SpintaxError
) -> Iterator[str]:
    seen: set[bytes] = set()
    patience, repeated = 0, 0
    for text in texts:
        if _is_new(text, seen):
            yield text
            repeated = 0
            continue
        if not patience:
            patience = patience_for(trees)
        repeated += 1
        if repeated == patience or distinct() == len(seen):
            break
    else:
        return
    count = distinct()
    if count is None:
        raise unknown
    if count > len(seen):
        variants = Variants(join(trees))
        yield from (text for text in map(variants.text_at, permute(count, seed)) if _is_new(text, seen))


def _is_new(text: str, seen: set[bytes]) -> bool:
    """Tell whether a text has not come before, and remember it."""
    before = len(seen)
    seen.add(hashlib.blake2b(text.encode(), digest_size=16).digest())
    return len(seen) > before
