"""Documents to a corpus: normalise, deduplicate, shuffle and split, all by one keyed digest.

What comes in: documents in any order, and a seed. What it leaves: training and held-out documents, and the counts.
Why a digest: blake2b of the text keyed by the seed finds duplicates (equal digests), shuffles (ascending digests) and
splits (the first k are held out) without any state, so the result depends neither on the order of the input nor on
the version of a random generator, and an out-of-core version that sorts by digest gives the same bytes.
"""

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b

from tasks.dataset.text_files import BYTE_ORDER_MARK
from tasks.errors import InputError


@dataclass(frozen=True, slots=True)
class Counts:
    """Where each document that was read went: read = kept + duplicate + empty, else ValueError."""

    read: int
    kept: int
    duplicate: int
    empty: int

    def __post_init__(self) -> None:
        if self.read != self.kept + self.duplicate + self.empty:
            raise ValueError(f"documents went astray: {self}")


@dataclass(frozen=True, slots=True)
class PreparedCorpus:
    """Normalised, distinct, non-empty documents in digest order; no document is in both parts."""

    train: tuple[str, ...]
    evaluation: tuple[str, ...]
    counts: Counts


def normalise(text: str) -> str:
    """Return the text in Unicode form NFC without byte order mark and final line ends.

    Case and all other white space stay. normalise(normalise(text)) == normalise(text).
    """
    return unicodedata.normalize("NFC", text.lstrip(BYTE_ORDER_MARK).rstrip("\r\n"))


def document_digest(document: str, *, seed: int) -> bytes:
    """Return the 16 bytes of blake2b over the document's UTF-8, keyed by the seed in decimal digits.

    This is a format: the split of every corpus rests on it, and `b2sum`-like tools can check it.
    """
    return blake2b(document.encode(), digest_size=16, key=str(seed).encode()).digest()


def prepare(
    documents: Iterable[str], *, seed: int, eval_fraction: float = 0.1, max_eval: int = 10_000
) -> PreparedCorpus:
    """Normalise, deduplicate, shuffle and split; the same set of documents and seed give the same corpus.

    Args:
        documents: read once, in any order; a document of white space only counts as empty.
        seed: key of the digest, 0 to 2^64 - 1; another seed gives another order and another split.
        eval_fraction: share of the distinct documents to hold out, between 0 and 1 (both excluded).
        max_eval: most documents to hold out. At least one document is held out and at least one is left to train on.

    Raises:
        InputError: fewer than two distinct documents, or a seed, share or limit that is out of range.
    """
    _check_arguments(seed, eval_fraction, max_eval)
    kept: dict[bytes, str] = {}
    read = empty = 0
    for document in documents:
        read += 1
        text = normalise(document)
        if text.strip():
            kept.setdefault(document_digest(text, seed=seed), text)
        else:
            empty += 1
    counts = Counts(read=read, kept=len(kept), duplicate=read - empty - len(kept), empty=empty)
    if counts.kept < 2:
        raise _too_few(counts)
    shuffled = tuple(kept[digest] for digest in sorted(kept))
    held_out = min(max(1, round(counts.kept * eval_fraction)), max_eval, counts.kept - 1)
    return PreparedCorpus(train=shuffled[held_out:], evaluation=shuffled[:held_out], counts=counts)


def _check_arguments(seed: int, eval_fraction: float, max_eval: int) -> None:
    if not 0 <= seed < 2**64:
        raise InputError(f"the seed of the corpus is {seed}, wanted is a whole number from 0 to 2^64 - 1")
    if not 0 < eval_fraction < 1:
        raise InputError(f"the held-out share is {eval_fraction}, wanted is a number between 0 and 1, such as 0.1")
    if max_eval < 1:
        raise InputError(f"the most documents to hold out is {max_eval}, wanted is 1 or more")


def _too_few(counts: Counts) -> InputError:
    return InputError(
        f"a corpus of at least 2 distinct documents is needed to split off a held-out set, got {counts.kept} "
        f"(read {counts.read:,}, of which {counts.duplicate:,} duplicate and {counts.empty:,} empty); "
        "add documents that differ"
    )
