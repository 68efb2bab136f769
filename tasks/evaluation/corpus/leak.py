"""Leak: how much of the held-out documents the training documents give away.

What comes in: the held-out documents, then one training document after the other. What it leaves: how many held-out
documents stand in the training part to the letter; how many variants of a template have a training document exactly
one slot away; how much of the own text shares a run of words with a training document. The last two look at the first
1,000 held-out documents of their kind, so memory does not grow with the training documents.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from itertools import islice
from operator import getitem

from tasks.evaluation.corpus.figures import Neighbours, SharedRuns
from tasks.spintax import Template

SAMPLE = 1_000
"""Most held-out documents of a kind that are looked at."""

MAX_KEYS = 1_000_000
"""Fewer variants are looked at where they have so many slots together."""

RUN = 8
"""Words in a run."""

MAX_RUNS = 1_000
"""Of a long held-out document, only so many runs from its start are looked for."""


class OverlapTally:
    """Held-out documents that are training documents to the letter, by 128-bit digest; some 200 bytes a document."""

    def __init__(self) -> None:
        self._hashes: set[int] = set()
        self._digests: set[bytes] = set()
        self._found: set[bytes] = set()

    def hold_out(self, document: str) -> None:
        """Take a held-out document."""
        self._hashes.add(hash(document))
        self._digests.add(_digest(document))

    def add(self, document: str) -> None:
        """Compare a training document; the quick hash comes first as it nearly always says no."""
        if hash(document) in self._hashes:
            self._found |= self._digests & {_digest(document)}

    def figures(self) -> int:
        """How many held-out documents were met."""
        return len(self._found)


class NeighbourTally:
    """Held-out variants of a template and the training documents exactly one slot away.

    Every template and every option of its slots has a fixed random number; the key of a document is the sum of them,
    and its key with a slot left open goes without that slot's option (Zobrist's hashing). Neighbours share a key with a
    slot left open, so a training document costs one look-up a slot. Two documents that differ only inside an option (in
    a group in a group) have the same options, and are not counted.
    """

    def __init__(self, templates: Sequence[Template]) -> None:
        """Memory grows with the options of the templates and the slots of the sample."""
        self._templates = [_random(number) for number in range(len(templates))]
        self._options = [
            [[_random(number, slot, option) for option in range(len(options))] for slot, options in enumerate(slots)]
            for number, slots in enumerate(template.slots for template in templates)
        ]
        self._sample: list[tuple[int, list[int]]] = []
        self._keys: set[int] = set()
        self._open_keys: set[int] = set()
        self._met: Counter[int] = Counter()  # key, with or without a slot left open → training documents

    def hold_out(self, template: int, choices: Sequence[int]) -> None:
        """Take a held-out document; those after the first 1,000 are left out."""
        if len(self._sample) < SAMPLE and len(self._open_keys) < MAX_KEYS:
            key, open_keys = self._hash(template, choices)
            self._sample.append((key, open_keys))
            self._keys.add(key)
            self._open_keys.update(open_keys)

    def add(self, template: int, choices: Sequence[int]) -> None:
        """Count a training document."""
        key, open_keys = self._hash(template, choices)
        if self._open_keys.isdisjoint(open_keys):
            return
        self._met.update(self._open_keys.intersection(open_keys))
        if key in self._keys:
            self._met[key] += 1

    def _hash(self, template: int, choices: Sequence[int]) -> tuple[int, list[int]]:
        options = list(map(getitem, self._options[template], choices))
        key = sum(options, self._templates[template])
        return key, [key - option for option in options]

    def figures(self) -> Neighbours | None:
        """What was counted; None where no variant of a template was held out."""
        if not self._sample:
            return None
        # A document with the same options shares all keys and is no neighbour.
        counts = [sum(self._met[one] - self._met[key] for one in open_keys) for key, open_keys in self._sample]
        found, sampled = sum(count > 0 for count in counts), len(counts)
        return Neighbours(sampled=sampled, with_neighbour=found, share=found / sampled, mean=sum(counts) / sampled)


class SharedRunTally:
    """Held-out own text and the training documents that share a run of 8 words with it."""

    def __init__(self) -> None:
        self._sampled = 0
        self._too_short = 0
        self._documents: dict[int, list[int]] = {}  # hash of a run → the documents of the sample that hold it
        self._found: set[int] = set()

    def hold_out(self, words: Sequence[str]) -> None:
        """Take a held-out document; those after the first 1,000 are left out."""
        if self._sampled + self._too_short >= SAMPLE:
            return
        if len(words) < RUN:
            self._too_short += 1
            return
        for run in set(islice(_runs(words), MAX_RUNS)):
            self._documents.setdefault(run, []).append(self._sampled)
        self._sampled += 1

    def add(self, words: Sequence[str]) -> None:
        """Compare a training document; a run that was found is not looked for again."""
        if self._documents:
            for run in self._documents.keys() & _runs(words):
                self._found.update(self._documents.pop(run))

    def figures(self) -> SharedRuns | None:
        """What was counted; None where no own text was held out."""
        if not self._sampled + self._too_short:
            return None
        found = len(self._found)
        return SharedRuns(
            words=RUN,
            sampled=self._sampled,
            too_short=self._too_short,
            with_run=found,
            share=found / self._sampled if self._sampled else None,
        )


def _runs(words: Sequence[str]) -> Iterator[int]:
    """Yield the hash of each run of 8 words; words are hashed once."""
    hashes = list(map(hash, words))
    return map(hash, zip(*(hashes[begin:] for begin in range(RUN)), strict=False))


def _digest(document: str) -> bytes:
    return blake2b(document.encode(errors="surrogatepass"), digest_size=16).digest()


def _random(*place: int) -> int:
    """The fixed random number of a template, or of an option: 58 bits, as sums of a few then stay machine numbers."""
    return int.from_bytes(blake2b(repr(place).encode(), digest_size=8).digest()) >> 6
