"""Several templates as one: their derivations, one template after the other, under one index.

What comes in: templates, as a file holds them. What it leaves: variants drawn from all of them together, every
derivation equally likely, whichever template it comes from; and how many distinct variants there are.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate

from tasks.errors import InputError
from tasks.spintax.distinct import count_distinct
from tasks.spintax.errors import SpintaxError
from tasks.spintax.sampling_without_replacement import draw_unrepeated, refuse_unknown
from tasks.spintax.template import Template
from tasks.spintax.union import join


def draw_from(templates: Sequence[Template], n: int, seed: int) -> Iterator[str]:
    """Yield `n` distinct variants of all templates together, all of them where there are fewer; no text twice.

    Order, guarantees and errors as Template.draw, for the derivations of all templates, one as likely as any other;
    for a single template it is Template.draw. InputError where there is no template or n is negative.
    """
    _starts(templates)
    if len(templates) == 1 or n < 0:
        return templates[0].draw(n, seed)
    trees = [template.tree for template in templates]
    unknown = refuse_unknown(templates[0].source)
    return draw_unrepeated(trees, n, seed, lambda: count_distinct_of(templates), unknown)


def count_distinct_of(templates: Sequence[Template]) -> int | None:
    """Return the exact number of distinct variants of all templates together.

    None past the limits of Template.distinct, taken for all of them together. InputError where there is no template.
    """
    _starts(templates)
    if len(templates) == 1:
        return templates[0].distinct
    try:
        return count_distinct(join([template.tree for template in templates]))
    except SpintaxError:  # past the limits of one template
        return None


def pick(templates: Sequence[Template], index: int) -> str:
    """Return derivation `index` of all templates together; IndexError outside, InputError without templates."""
    starts = _starts(templates)
    total = starts[-1] + templates[-1].count
    if not -total <= index < total:
        raise IndexError(f"there are {total:,} derivations, so there is no index {index:,}")
    return _at(templates, starts, index % total)


def _starts(templates: Sequence[Template]) -> list[int]:
    if not templates:
        raise InputError("there is no template to take variants from; give at least one")
    return [0, *accumulate(template.count for template in templates[:-1])]


def _at(templates: Sequence[Template], starts: list[int], index: int) -> str:
    number = bisect_right(starts, index) - 1
    return templates[number][index - starts[number]]
