"""Several templates as one: their derivations, one template after the other, under one index.

What comes in: templates, as a file holds them. What it leaves: derivations drawn from all of them together, every
derivation equally likely, whichever template it comes from.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate, islice

from tasks.errors import InputError
from tasks.spintax.permutation import permute
from tasks.spintax.template import Template


def draw_from(templates: Sequence[Template], n: int, seed: int) -> Iterator[str]:
    """Yield `n` derivations of all templates together; guarantees and errors as Template.draw.

    For a single template it is Template.draw. InputError where there is no template or n is negative.
    """
    starts = _starts(templates)
    if n < 0:
        raise InputError(f"cannot draw {n:,} variants; ask for 0 or more")
    if len(templates) == 1:
        return templates[0].draw(n, seed)
    total = starts[-1] + templates[-1].count
    return (_at(templates, starts, index) for index in islice(permute(total, seed), min(n, total)))


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
