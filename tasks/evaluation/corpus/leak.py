"""Measure how much of the held-out documents leaks into the training documents.

Three measures: held-out documents that are verbatim training documents; held-out variants of a template that have a
training document exactly one slot away; held-out documents from text files that share a run of words with a training
document. The last two look at the first 1,000 held-out documents of their kind, so memory does not grow with the
training documents.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from itertools import islice
from operator import getitem

from tasks.evaluation.corpus.figures import Neighbours, SharedRuns
from tasks.spintax import Template

SAMPLE = 1_000
"""Maximum number of held-out documents of a kind that are examined."""

MAX_KEYS = 1_000_000
"""No further variants are examined once those before them have this many slots in total."""

RUN = 8
"""Words in a run."""

MAX_RUNS = 1_000
"""Of a long held-out document only this many runs, from its start, are searched for."""


class OverlapTally:
    """Held-out documents that are verbatim training documents, by 128-bit digest; about 200 bytes per document."""

    def __init__(self) -> None:
        self._hashes: set[int] = set()
        self._digests: set[bytes] = set()
        self._found: set[bytes] = set()

    def hold_out(self, document: str) -> None:
        """Add a held-out document."""
        self._hashes.add(hash(document))
        self._digests.add(_digest(document))

    def add(self, document: str) -> None:
        """Compare a training document; the fast hash comes first, since it nearly always differs."""
        if hash(document) in self._hashes:
            self._found |= self._digests & {_digest(document)}

    def figures(self) -> int:
        """How many held-out documents were found."""
        return len(self._found)


class NeighbourTally:
    """Held-out variants of a template and the training documents exactly one slot away.

    Every template and every option of its slots has a fixed random number. The key of a document is their sum, and its
    key with an open slot omits the option of that slot (Zobrist hashing). Neighbours share a key with an open slot, so
    a training document costs one look-up per slot. Two documents that differ only inside an option (in a nested group)
    have the same options and are not counted.
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
        self._met: Counter[int] = Counter()  # key, with or without an open slot → training documents

    def hold_out(self, template: int, choices: Sequence[int]) -> None:
        """Add a held-out document; those after the first 1,000 are ignored."""
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
        """The counts; None if no variant of a template was held out."""
        if not self._sample:
            return None
        # A document with the same options shares all keys and is not a neighbour.
        counts = [sum(self._met[one] - self._met[key] for one in open_keys) for key, open_keys in self._sample]
        found, sampled = sum(count > 0 for count in counts), len(counts)
        return Neighbours(sampled=sampled, with_neighbour=found, share=found / sampled, mean=sum(counts) / sampled)


class SharedRunTally:
    """Held-out documents from text files that share a run of 8 words with a training document."""

    def __init__(self) -> None:
        self._sampled = 0
        self._too_short = 0
        self._documents: dict[int, list[int]] = {}  # hash of a run → the sampled documents that contain it
        self._found: set[int] = set()

    def hold_out(self, words: Sequence[str]) -> None:
        """Add a held-out document; those after the first 1,000 are ignored."""
        if self._sampled + self._too_short >= SAMPLE:
            return
        if len(words) < RUN:
            self._too_short += 1
            return
        for run in set(islice(_runs(words), MAX_RUNS)):
            self._documents.setdefault(run, []).append(self._sampled)
        self._sampled += 1

    def add(self, words: Sequence[str]) -> None:
        """Compare a training document; a run that was found is not searched for again."""
        if self._documents:
            for run in self._documents.keys() & _runs(words):
                self._found.update(self._documents.pop(run))

    def figures(self) -> SharedRuns | None:
        """The counts; None if no document from a text file was held out."""
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
    """Yield the hash of each run of 8 words; each word is hashed once."""
    hashes = list(map(hash, words))
    return map(hash, zip(*(hashes[begin:] for begin in range(RUN)), strict=False))


def _digest(document: str) -> bytes:
    return blake2b(document.encode(errors="surrogatepass"), digest_size=16).digest()


def _random(*numbers: int) -> int:
    """The fixed random number of a template or an option: 58 bits, so that a sum of a few fits into 64."""
    return int.from_bytes(blake2b(repr(numbers).encode(), digest_size=8).digest()) >> 6
