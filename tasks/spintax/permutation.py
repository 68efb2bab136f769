"""A seeded order of the numbers below `count`, one at a time, without holding them.

The order depends on count and seed only: not on the version of Python or NumPy, nor on how many are taken.

Up to 2^16 the numbers are sorted by a keyed digest (blake2b). Above, number i of the order is a Feistel network's
image of i: ten rounds over the bits of count - 1, split in two, with cycle walking (numbers from `count` on go through
the network again; on average less than twice). Rounds mix up to 64 bits with the finaliser of SplitMix64 (Steele, Lea
and Flood, "Fast splittable pseudorandom number generators", 2014), which NumPy can compute too; wider halves use
SHAKE-256. The order is for fair samples, not for secrets.
"""

import hashlib
from collections.abc import Iterator

SORT_LIMIT = 1 << 16
ROUNDS = 10
MASK_64 = (1 << 64) - 1
MULTIPLIERS = (0xBF58476D1CE4E5B9, 0x94D049BB133111EB)


def permute(count: int, seed: int) -> Iterator[int]:
    """Yield each number below `count` once, in the order of `seed`; constant memory (at most 2^16 numbers)."""
    if count <= SORT_LIMIT:
        yield from _by_digest(count, seed)
        return
    network = Network(count, seed)
    for index in range(count) if count <= MASK_64 >> 1 else _count_up(count):
        yield network.image(index)


def _count_up(count: int) -> Iterator[int]:
    """As range(count), which cannot be iterated past 2^63 in every Python."""
    index = 0
    while index < count:
        yield index
        index += 1


def _by_digest(count: int, seed: int) -> list[int]:
    key = seed_key(count, seed)

    def digest(index: int) -> bytes:
        return hashlib.blake2b(index.to_bytes(4, "big"), key=key, digest_size=16).digest()

    return sorted(range(count), key=digest)


def seed_key(count: int, seed: int) -> bytes:
    """Return 32 bytes that depend on count and seed."""
    return hashlib.blake2b(f"{count}:{seed}".encode(), digest_size=32, person=b"spintax-draw").digest()


class Network:
    """The bijection of range(count) for a count above 2^16; the NumPy path uses the public attributes."""

    def __init__(self, count: int, seed: int) -> None:
        key = seed_key(count, seed)
        bits = (count - 1).bit_length()
        self.count = count
        self.right_bits = bits - bits // 2
        self.left_mask = (1 << bits // 2) - 1
        self.right_mask = (1 << self.right_bits) - 1
        digests = [hashlib.blake2b(bytes([number]), key=key, digest_size=8).digest() for number in range(ROUNDS)]
        self.keys = [int.from_bytes(digest, "big") for digest in digests]
        self.wide = self.right_bits > 64

    def image(self, index: int) -> int:
        """Return number `index` of the order."""
        while True:
            index = self._pass(index)
            if index < self.count:
                return index

    def _pass(self, index: int) -> int:
        mix = _mix_wide if self.wide else _mix
        left, right = index >> self.right_bits, index & self.right_mask
        for number in range(0, ROUNDS, 2):
            left ^= mix(right, self.keys[number], self.left_mask)
            right ^= mix(left, self.keys[number + 1], self.right_mask)
        return left << self.right_bits | right


def _mix(value: int, key: int, mask: int) -> int:
    value = (value + key) & MASK_64
    value = ((value ^ value >> 30) * MULTIPLIERS[0]) & MASK_64
    value = ((value ^ value >> 27) * MULTIPLIERS[1]) & MASK_64
    return (value ^ value >> 31) & mask


def _mix_wide(value: int, key: int, mask: int) -> int:
    size = (mask.bit_length() + 7) // 8
    data = key.to_bytes(8, "big") + value.to_bytes(size + 1, "big")
    return int.from_bytes(hashlib.shake_256(data).digest(size), "big") & mask
