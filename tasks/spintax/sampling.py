"""Draws distinct derivations in a seeded order, every one equally likely.

Neighbouring slots are fused into tables of some thousand texts, so that a derivation is a few look-ups. From a
few thousand draws on, and for counts up to 2^128, NumPy computes the numbers in chunks; the texts are the same.
"""

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

from tasks.spintax.permutation import MULTIPLIERS, ROUNDS, SORT_LIMIT, Network, permute
from tasks.spintax.tree import Tree, fuse

if TYPE_CHECKING:
    import numpy as np

    Words = np.ndarray[tuple[int], np.dtype[np.uint64]]

TABLES_FROM = 200
"""Draws from which building the tables pays."""

NUMPY_FROM = 5000
"""Draws from which importing NumPy pays."""

_CHUNK = 8192
_TABLE = 4096
_TABLE_CHARS = 1_000_000


def draw_texts(tree: Tree, seed: int, expected: int) -> Iterator[str]:
    """Yield all derivations, as texts, in the order of `seed`, which depends on their number and the seed only.

    `expected` (how many are likely to be taken) decides how they are computed, never what they are.
    """
    total = tree.counts[0]
    tables = make_tables(tree) if expected >= TABLES_FROM else None
    text_at = tree.text_at if tables is None else partial(look_up, tables)
    if expected < NUMPY_FROM or not SORT_LIMIT < total <= 1 << 128:
        return map(text_at, permute(total, seed))
    network = Network(total, seed)
    return map(text_at, _draw_indices(network)) if tables is None else draw_chunks(tables, network, total)


def make_tables(tree: Tree) -> list[list[str]] | None:
    """Return the template as a row of lists of texts, one entry of each making a derivation; None if too large.

    A list has at most a few thousand entries, unless it is one group of plain options.
    """
    texts = tree.texts
    limit = max(16, min(_TABLE, _TABLE_CHARS // (tree.longest([len(text) for text in texts]) + 1)))
    tables: list[list[str]] = [[""]]
    for item in reversed(tree.children(0)):
        count = tree.counts[item]
        if count * len(tables[-1]) <= limit:
            tables[-1] = fuse([tree.expand(item, texts)], tables[-1])
        elif count <= max(limit, len(tree.children(item))):
            tables.append(tree.expand(item, texts))
        else:
            return None
    return tables[::-1]


def look_up(tables: list[list[str]], index: int) -> str:
    """Return derivation `index`."""
    parts: list[str] = []
    for table in reversed(tables):
        index, digit = divmod(index, len(table))
        parts.append(table[digit])
    return "".join(reversed(parts))


def draw_chunks(tables: list[list[str]], network: Network, number: int) -> Iterator[str]:
    """Yield what `look_up` gives for the first `number` images of `network`, a chunk at a time."""
    for left, right in _image_chunks(network, number):
        limbs = _limbs(network, left, right)
        columns: list[list[str]] = []
        for table in reversed(tables):
            digits, limbs = _divide(limbs, len(table))
            columns.append(list(map(table.__getitem__, digits.tolist())))
        yield from map("".join, zip(*reversed(columns), strict=True))


def _draw_indices(network: Network) -> Iterator[int]:
    """Yield all images of the network."""
    for halves in _image_chunks(network, network.count):
        for left, right in zip(*(half.tolist() for half in halves), strict=True):
            yield left << network.right_bits | right


def _image_chunks(network: Network, number: int) -> Iterator[tuple["Words", "Words"]]:
    """Yield the halves of the first `number` images, a chunk at a time."""
    import numpy as np

    for begin in range(0, number, _CHUNK):
        yield _images(network, np.arange(begin, min(begin + _CHUNK, number), dtype=np.uint64))


def _images(network: Network, indices: "Words") -> tuple["Words", "Words"]:
    """Return the left and right halves of the images, as Network.image."""
    import numpy as np

    shift = np.uint64(network.right_bits)
    left = indices >> shift if network.right_bits < 64 else np.zeros_like(indices)
    left, right = _pass(network, left, indices & np.uint64(network.right_mask))
    last = network.count - 1
    last_left, last_right = np.uint64(last >> network.right_bits), np.uint64(last & network.right_mask)
    while True:
        outside = np.flatnonzero((left > last_left) | ((left == last_left) & (right > last_right)))
        if not outside.size:
            return left, right
        left[outside], right[outside] = _pass(network, left[outside], right[outside])


def _pass(network: Network, left: "Words", right: "Words") -> tuple["Words", "Words"]:
    import numpy as np

    left_mask, right_mask = np.uint64(network.left_mask), np.uint64(network.right_mask)
    for number in range(0, ROUNDS, 2):
        left = left ^ (_mix(right, network.keys[number]) & left_mask)
        right = right ^ (_mix(left, network.keys[number + 1]) & right_mask)
    return left, right


def _mix(words: "Words", key: int) -> "Words":
    """Compute permutation._mix with NumPy: its arrays of uint64 wrap at 2^64."""
    import numpy as np

    words = words + np.uint64(key)
    words = (words ^ (words >> np.uint64(30))) * np.uint64(MULTIPLIERS[0])
    words = (words ^ (words >> np.uint64(27))) * np.uint64(MULTIPLIERS[1])
    return words ^ (words >> np.uint64(31))


def _limbs(network: Network, left: "Words", right: "Words") -> list["Words"]:
    """Return the numbers that the halves make as digits of base 2^32, the highest first."""
    import numpy as np

    bits = network.right_bits
    low = right if bits == 64 else (left << np.uint64(bits)) | right
    high = left if bits == 64 else left >> np.uint64(64 - bits)
    half, mask = np.uint64(32), np.uint64(0xFFFFFFFF)
    return [high >> half, high & mask, low >> half, low & mask]


def _divide(limbs: list["Words"], divisor: int) -> tuple["Words", list["Words"]]:
    """Return the remainders and the quotients of long division; leading zeros are dropped."""
    import numpy as np

    quotients: list[Words] = []
    remainder = np.zeros_like(limbs[0])
    for limb in limbs:
        value = (remainder << np.uint64(32)) | limb
        quotient = value // np.uint64(divisor)
        remainder = value - quotient * np.uint64(divisor)
        if quotients or quotient.any():
            quotients.append(quotient)
    return remainder, quotients or [np.zeros_like(remainder)]
