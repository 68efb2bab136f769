"""Makes a corpus from documents: normalise, deduplicate, shuffle or sort, and split, all by one keyed digest.

blake2b of the text keyed by the seed finds duplicates (equal digests), shuffles (ascending digests) and splits (the
first k are held out) without any state. So the result depends neither on the order of the input nor on the version of
a random generator, nor on how much of the corpus was written to scratch files.
"""

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import filterfalse, islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from tasks.dataset.deduplication import MEMORY, Deduplicator
from tasks.dataset.near_duplicates import NearDuplicates
from tasks.dataset.normalisation import fold_case, new_digest, normalise
from tasks.dataset.sorting import sort_documents
from tasks.dataset.text_files import write_documents
from tasks.errors import InputError

if TYPE_CHECKING:
    from tasks.parameters import CorpusParameters

HeldOut = Callable[[str], bool]
"""Whether a document must be held out, for a split that is not by line."""


@dataclass(frozen=True, slots=True)
class Counts:
    """The number of documents that were read, kept and dropped.

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
            raise ValueError(f"the counts do not add up: {self}")


def prepare(
    documents: Iterable[str],
    folder: Path,
    corpus: "CorpusParameters",
    *,
    held_out: HeldOut | None = None,
    memory: int = MEMORY,
) -> Counts:
    """Write `train.jsonl` and `eval.jsonl` into `folder`; the same set of documents and seed give the same bytes.

    Documents are normalised, distinct and not empty (white space only), and no document is in both files. By line, the
    rounded `eval_fraction` of them is held out, at least one and at most `max_eval_documents`, and at least one is left
    to train on; with `held_out`, all for which it returns true, of which those past the maximum are rejected.

    Args:
        documents: read once, in any order, and never held in memory as a whole.
        folder: exists; scratch files are in it until the call ends or fails.
        corpus: the parameters; sources and drawing are left to the caller.
        held_out: see above; None splits by line.
        memory: bytes of documents in memory, beyond which they go to scratch files; the result is the same.

    Raises:
        InputError: fewer than two distinct documents, nothing to hold out or nothing left to train on.
    """
    with TemporaryDirectory(prefix="scratch-", dir=folder) as scratch:
        deduplicator = Deduplicator(Path(scratch), memory)
        tally = _add_all(documents, corpus, deduplicator)
        deduplicator.finish(_near_duplicate_filter(corpus))
        tally["near_duplicate"] = deduplicator.distinct - deduplicator.kept
        _check_enough(deduplicator, tally)
        train, evaluation = _split(deduplicator, corpus, held_out)
        if corpus.order == "sorted":
            train, evaluation = (sort_documents(part, Path(scratch), memory) for part in (train, evaluation))
        written = [
            write_documents(folder / name, map(bytes.decode, part))
            for name, part in (("eval.jsonl", evaluation), ("train.jsonl", train))
        ]
    return _counts(tally, deduplicator, evaluation=written[0], train=written[1])


def _add_all(documents: Iterable[str], corpus: "CorpusParameters", deduplicator: Deduplicator) -> Counter[str]:
    """Normalise the documents and add those that are not rejected; return the counts of the others."""
    tally: Counter[str] = Counter()
    empty = new_digest(corpus.seed)
    collapse, ignore_case = corpus.collapse_whitespace, corpus.ignore_case
    fewest, most = corpus.min_characters or 0, corpus.max_characters or sys.maxsize
    read = 0
    for read, document in enumerate(documents, start=1):  # noqa: B007 (the last number is the count)
        text = normalise(document, collapse_whitespace=collapse)
        if not text or text.isspace():
            tally["empty"] += 1
        elif not fewest <= len(text) <= most:
            tally["short" if len(text) < fewest else "long"] += 1
        else:
            data = text.encode()
            digest = empty.copy()
            digest.update(fold_case(text).encode() if ignore_case else data)
            deduplicator.add(digest.digest(), data)
    tally["read"] = read
    return tally


def _near_duplicate_filter(corpus: "CorpusParameters") -> Callable[[bytes], bool] | None:
    if corpus.near_duplicates is None:
        return None
    seen = NearDuplicates(corpus.near_duplicates)
    return lambda document: seen.is_new(document.decode())


def _split(
    deduplicator: Deduplicator, corpus: "CorpusParameters", held_out: HeldOut | None
) -> tuple[Iterator[bytes], Iterator[bytes]]:
    """Return the documents to train on and those to hold out, each in the order of the digests."""
    most = corpus.max_eval_documents
    if held_out is None:
        held = min(max(1, round(deduplicator.kept * corpus.eval_fraction)), most, deduplicator.kept - 1)
        return islice(deduplicator, held, None), islice(deduplicator, held)

    def is_held_out(document: bytes) -> bool:
        return held_out(document.decode())

    return filterfalse(is_held_out, deduplicator), islice(filter(is_held_out, deduplicator), most)


def _check_enough(deduplicator: Deduplicator, tally: Counter[str]) -> None:
    if deduplicator.kept < 2:
        raise InputError(
            f"a corpus of at least 2 distinct documents is needed to split off a held-out set, got {deduplicator.kept} "
            f"(read {tally['read']:,}, of which {_duplicates(deduplicator, tally):,} duplicate, "
            f"{tally['empty']:,} empty and {tally['short'] + tally['long'] + tally['near_duplicate']:,} rejected); "
            "add documents that differ"
        )


def _duplicates(deduplicator: Deduplicator, tally: Counter[str]) -> int:
    return tally["read"] - tally["empty"] - tally["short"] - tally["long"] - deduplicator.distinct


def _counts(tally: Counter[str], deduplicator: Deduplicator, *, evaluation: int, train: int) -> Counts:
    if not train or not evaluation:
        raise InputError(
            f"of {deduplicator.kept:,} documents {evaluation:,} are held out and {train:,} are left to train on, and "
            "both need at least one; draw more documents (--corpus.num-documents) or split by line "
            "(--corpus.split line)"
        )
    tally["held_out_surplus"] = deduplicator.kept - train - evaluation
    reasons = ("short", "long", "near_duplicate", "held_out_surplus")
    return Counts(
        read=tally["read"],
        duplicate=_duplicates(deduplicator, tally),
        empty=tally["empty"],
        train=train,
        evaluation=evaluation,
        rejected={reason: tally[reason] for reason in reasons if tally[reason]},
    )
