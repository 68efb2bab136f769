"""Documents to a corpus: normalise, deduplicate, shuffle or sort, and split, all by one keyed digest.

What comes in: documents in any order, and the corpus parameters. What it leaves: `train.jsonl` and `eval.jsonl`, and
the counts. Why a digest: blake2b of the text keyed by the seed finds duplicates (equal digests), shuffles (ascending
digests) and splits (the first k are held out) without any state, so the result depends neither on the order of the
input nor on the version of a random generator, and shards that went to the disk give the same bytes as memory does.
"""

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import filterfalse, islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from tasks.dataset.deduplication import MEMORY, Sieve
from tasks.dataset.near_duplicates import NearDuplicates
from tasks.dataset.normalisation import fold_case, new_digest, normalise
from tasks.dataset.sorting import sort_documents
from tasks.dataset.text_files import write_documents
from tasks.errors import InputError

if TYPE_CHECKING:
    from tasks.parameters import CorpusParameters

HeldOut = Callable[[str], bool]
"""Tells of a document whether it must be held out, for a split that is not by line."""


@dataclass(frozen=True, slots=True)
class Counts:
    """Where each document that was read went.

    read = kept + duplicate + empty + rejected and kept = train + evaluation, else ValueError.
    """

    read: int
    duplicate: int
    empty: int
    train: int
    evaluation: int
    rejected: Mapping[str, int] = field(default_factory=dict)
    """Reason → documents: `short`, `long`, `near_duplicate`, `held_out_surplus` (past the most to hold out)."""

    kept: int = field(init=False)

    def __post_init__(self) -> None:
        """Derive `kept` and check the sum."""
        object.__setattr__(self, "kept", self.train + self.evaluation)
        if self.read != self.kept + self.duplicate + self.empty + sum(self.rejected.values()):
            raise ValueError(f"documents went astray: {self}")


def prepare(
    documents: Iterable[str],
    folder: Path,
    corpus: "CorpusParameters",
    *,
    held_out: HeldOut | None = None,
    memory: int = MEMORY,
) -> Counts:
    """Write `train.jsonl` and `eval.jsonl` into `folder`; the same set of documents and seed give the same bytes.

    Documents are normal, distinct and not empty (of white space only), and no document is in both files. By line, the
    rounded `eval_fraction` of them is held out, at least one and at most `max_eval_documents`, and at least one is left
    to train on; with `held_out`, all that it is true of, of which the surplus past the most is rejected.

    Args:
        documents: read once, in any order, and never held as a whole.
        folder: exists; scratch files lie in it until the call ends, whichever way it ends.
        corpus: the rules; sources and drawing are the caller's.
        held_out: see above; None splits by line.
        memory: bytes of documents that wait in memory, beyond which they go to scratch files: that changes no byte.

    Raises:
        InputError: fewer than two distinct documents, nothing to hold out or nothing left to train on.
    """
    with TemporaryDirectory(prefix="scratch-", dir=folder) as scratch:
        sieve = Sieve(Path(scratch), memory)
        tally = _sift(documents, corpus, sieve)
        sieve.settle(_near_duplicate_filter(corpus))
        tally["near_duplicate"] = sieve.distinct - sieve.kept
        _check_enough(sieve, tally)
        train, evaluation = _split(sieve, corpus, held_out)
        written = [
            write_documents(folder / name, map(bytes.decode, _ordered(part, corpus, Path(scratch), memory)))
            for name, part in (("eval.jsonl", evaluation), ("train.jsonl", train))
        ]
    return _counts(tally, sieve, evaluation=written[0], train=written[1])


def _sift(documents: Iterable[str], corpus: "CorpusParameters", sieve: Sieve) -> Counter[str]:
    """Put every document that is wanted into the sieve; return what was read and what was not wanted."""
    tally: Counter[str] = Counter()
    empty = new_digest(corpus.seed)
    collapse, ignore_case = corpus.collapse_whitespace, corpus.ignore_case
    fewest, most = corpus.min_characters or 0, corpus.max_characters or sys.maxsize
    read = 0
    for read, document in enumerate(documents, start=1):  # noqa: B007 what stands in it after the last is all
        text = normalise(document, collapse_whitespace=collapse)
        if not text or text.isspace():
            tally["empty"] += 1
        elif not fewest <= len(text) <= most:
            tally["short" if len(text) < fewest else "long"] += 1
        else:
            data = text.encode()
            digest = empty.copy()
            digest.update(fold_case(text).encode() if ignore_case else data)
            sieve.add(digest.digest(), data)
    tally["read"] = read
    return tally


def _near_duplicate_filter(corpus: "CorpusParameters") -> Callable[[bytes], bool] | None:
    if corpus.near_duplicates is None:
        return None
    seen = NearDuplicates(corpus.near_duplicates)
    return lambda document: seen.is_new(document.decode())


def _split(
    sieve: Sieve, corpus: "CorpusParameters", held_out: HeldOut | None
) -> tuple[Iterator[bytes], Iterator[bytes]]:
    """Return the documents to train on and those to hold out, each in the order of the digests."""
    most = corpus.max_eval_documents
    if held_out is None:
        held = min(max(1, round(sieve.kept * corpus.eval_fraction)), most, sieve.kept - 1)
        return islice(sieve, held, None), islice(sieve, held)

    def is_held_out(document: bytes) -> bool:
        return held_out(document.decode())

    return filterfalse(is_held_out, sieve), islice(filter(is_held_out, sieve), most)


def _ordered(part: Iterator[bytes], corpus: "CorpusParameters", scratch: Path, memory: int) -> Iterator[bytes]:
    return sort_documents(part, scratch, memory) if corpus.order == "sorted" else part


def _check_enough(sieve: Sieve, tally: Counter[str]) -> None:
    if sieve.kept < 2:
        raise InputError(
            f"a corpus of at least 2 distinct documents is needed to split off a held-out set, got {sieve.kept} "
            f"(read {tally['read']:,}, of which {_duplicates(sieve, tally):,} duplicate, {tally['empty']:,} empty and "
            f"{tally['short'] + tally['long'] + tally['near_duplicate']:,} rejected); add documents that differ"
        )


def _duplicates(sieve: Sieve, tally: Counter[str]) -> int:
    return tally["read"] - tally["empty"] - tally["short"] - tally["long"] - sieve.distinct


def _counts(tally: Counter[str], sieve: Sieve, *, evaluation: int, train: int) -> Counts:
    if not train or not evaluation:
        raise InputError(
            f"of {sieve.kept:,} documents {evaluation:,} are held out and {train:,} are left to train on, and both "
            "need at least one; draw more documents (--corpus.num-documents) or split by line (--corpus.split line)"
        )
    tally["held_out_surplus"] = sieve.kept - train - evaluation
    reasons = ("short", "long", "near_duplicate", "held_out_surplus")
    return Counts(
        read=tally["read"],
        duplicate=_duplicates(sieve, tally),
        empty=tally["empty"],
        train=train,
        evaluation=evaluation,
        rejected={reason: tally[reason] for reason in reasons if tally[reason]},
    )
