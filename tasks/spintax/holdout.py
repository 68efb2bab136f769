"""Chooses pairs of options to hold out, so that a model is tested on combinations that it never saw.

The options of a pair are of two different slots. Each option is in one pair at most, and every slot keeps an option
that is in none: so each option is still in derivations without any held-out pair.
"""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from hashlib import blake2b
from itertools import combinations, product, starmap
from typing import NamedTuple

from tasks.spintax.template import Template

MAX_SLOTS = 12
"""Slots that are paired with each other; of more, the seed chooses some."""

MAX_OPTIONS = 25
"""Options of a slot that are paired; of more, the seed chooses some."""


class Pair(NamedTuple):
    """Option `option` of slot `slot` together with option `other_option` of slot `other_slot`; all from 0."""

    slot: int
    option: int
    other_slot: int
    other_option: int

    def is_in(self, choices: Sequence[int]) -> bool:
        """Whether a derivation with these choices (one option per slot) has both options."""
        return choices[self.slot] == self.option and choices[self.other_slot] == self.other_option


def choose_pairs(template: Template, share: float, seed: int) -> list[Pair]:
    """Return pairs that together are in at most `share` of the derivations, or the rarest pair if each is in more.

    The share is exact, as slots are drawn independently of each other; it can stay far below in templates with more
    than a hundred options per slot. Order and choice depend on the sizes of the options, `share` and `seed` only. Empty
    where fewer than two slots have two options.
    """
    sizes = template.slot_weights
    weights = {
        pair: sizes[pair.slot][pair.option] * sizes[pair.other_slot][pair.other_option] for pair in _pairs(sizes, seed)
    }
    left = Fraction(share)
    half = left / 2  # pairs in more than half of what is to be held out come last, so that there are several
    chosen: list[Pair] = []
    free = [len(options) for options in sizes]
    taken: set[tuple[int, int]] = set()
    for pair in sorted(weights, key=lambda pair: (weights[pair] > half, _digest(seed, *pair))):
        ends = {pair[:2], pair[2:]}
        if weights[pair] <= left and not taken & ends and min(free[pair.slot], free[pair.other_slot]) > 1:
            chosen.append(pair)
            left -= weights[pair]
            taken |= ends
            free[pair.slot] -= 1
            free[pair.other_slot] -= 1
    return chosen or sorted(weights, key=weights.__getitem__)[:1]


def _pairs(sizes: Sequence[Sequence[Fraction]], seed: int) -> Iterator[Pair]:
    eligible = [slot for slot, options in enumerate(sizes) if len(options) > 1]
    slots = _choose(eligible, MAX_SLOTS, seed)
    options = {slot: _choose(range(len(sizes[slot])), MAX_OPTIONS, seed, slot) for slot in slots}
    for slot, other_slot in combinations(slots, 2):
        yield from starmap(Pair, product([slot], options[slot], [other_slot], options[other_slot]))


def _choose(numbers: Sequence[int], most: int, *key: int) -> list[int]:
    """Return at most `most` of the numbers, chosen by `key`, in order."""
    return sorted(sorted(numbers, key=lambda number: _digest(*key, number))[:most])


def _digest(*numbers: int) -> bytes:
    return blake2b(repr(numbers).encode(), digest_size=16, person=b"spintax-pairs").digest()
