"""What the verbs of a release answer.

What comes in: what the store says. What it leaves: answers, each a sentence with its tables.
"""

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from tasks.registry.answers import Answer, Rows
from tasks.units import count, size

DIGITS = 12
"""Of a version or fingerprint, where a person reads it."""


class ListedVersion(BaseModel):
    """A version: when it was published (UTC), how large it is, which aliases name it, and what it states of itself."""

    version: str
    published_at: str
    bytes: int
    files: int
    aliases: tuple[str, ...]
    facts: dict[str, Any]

    def row(self) -> tuple[str, ...]:
        """As `HEADS` has it."""
        return (
            self.version[:DIGITS], self.published_at[:16].replace("T", " "), size(self.bytes), _loss(self.facts),
            _corpus(self.facts), str(self.facts.get("git_commit") or "-")[:DIGITS], ", ".join(self.aliases) or "-",
        )  # fmt: skip


HEADS = ("version", "published (UTC)", "size", "loss", "corpus", "commit", "aliases")


class ListedAlias(BaseModel):
    """An alias: what it names, what it named before, and how often it has moved."""

    alias: str
    version: str
    previous: str | None
    seq: int
    published_at: str


class Listing(Answer):
    """Versions, newest first, and aliases."""

    destination: str
    name: str
    versions: tuple[ListedVersion, ...]
    aliases: tuple[ListedAlias, ...]
    other_names: tuple[str, ...]
    incomplete: int

    def sentence(self) -> str:
        """Counts, and where else to look."""
        said = f"{count(len(self.versions), 'version')} of {self.name} in {self.destination}"
        if self.incomplete:
            said += f"; {count(self.incomplete, 'unfinished one')} beside (publish again, or prune)"
        if self.other_names:
            said += f"; also published there: {', '.join(self.other_names)} (--release.name)"
        return said

    def tables(self) -> Iterator[Rows]:
        """Versions, then aliases."""
        yield [HEADS, *(one.row() for one in self.versions)]
        rows = [
            (one.alias, one.version[:DIGITS], (one.previous or "-")[:DIGITS], f"{one.seq:,}", one.published_at[:16])
            for one in self.aliases
        ]
        yield [("alias", "version", "before", "moves", "moved (UTC)"), *(_blank_t(row) for row in rows)]


class Shown(Answer):
    """One version with its files."""

    uri: str
    version: ListedVersion
    files: dict[str, tuple[int, str]]
    """Path → bytes, sha256."""

    def sentence(self) -> str:
        """Its name for good."""
        return self.uri

    def tables(self) -> Iterator[Rows]:
        """Facts, then files."""
        about = [("published (UTC)", self.version.published_at), ("size", size(self.version.bytes))]
        about += [("aliases", ", ".join(self.version.aliases) or "-"), *_flat(self.version.facts)]
        yield [("fact", ""), *about]
        yield [("file", "bytes", "sha256"), *((path, f"{n:,}", sha[:DIGITS]) for path, (n, sha) in self.files.items())]


class Moved(Answer):
    """An alias that was asked to move."""

    name: str
    alias: str
    version: str
    previous: str | None
    seq: int
    moved: bool

    def sentence(self) -> str:
        """What it names now, and what it named before."""
        if not self.moved:
            return f"{self.name}@{self.alias} names {self.version[:DIGITS]} already"
        before = f", before it named {self.previous[:DIGITS]}" if self.previous else ""
        return f"{self.name}@{self.alias} names {self.version[:DIGITS]} now{before} (move {self.seq:,})"


class FetchedTo(Answer):
    """A release on disk."""

    name: str
    version: str
    folder: str
    files: int
    bytes: int
    downloaded_bytes: int

    def sentence(self) -> str:
        """Where it lies."""
        what = f"{self.name}@{self.version[:DIGITS]}: {count(self.files, 'file')}, {size(self.bytes)}, verified"
        return f"{what}, in {self.folder}" + ("" if self.downloaded_bytes else " (it was there already)")


class Verified(Answer):
    """A version whose every byte was read and is right."""

    name: str
    version: str
    files: int
    bytes: int

    def sentence(self) -> str:
        """What was read."""
        return f"{self.name}@{self.version} is whole: {count(self.files, 'file')}, {size(self.bytes)}, all hashes right"


class PrunedAway(Answer):
    """What prune deleted, or would."""

    name: str
    dry_run: bool
    kept: int
    versions: tuple[ListedVersion, ...]
    leftovers: tuple[str, ...]
    stages: tuple[str, ...]
    """Copies of stage folders."""

    def sentence(self) -> str:
        """Counts, and what to do to delete."""
        what = f"{count(len(self.versions), 'version')} of {self.name}"
        if self.leftovers:
            what += f" and {count(len(self.leftovers), 'unfinished one')}"
        if self.stages:
            what += f" and {count(len(self.stages), 'shared stage folder')}"
        if not self.dry_run:
            return f"deleted {what}; {self.kept:,} kept"
        return f"would delete {what} and keep {self.kept:,}" + (
            "; delete with --no-dry-run" if self.versions or self.leftovers or self.stages else ""
        )

    def tables(self) -> Iterator[Rows]:
        """The versions, then the leftovers, then what machines shared."""
        yield [HEADS, *(one.row() for one in self.versions)]
        yield [("unfinished",), *((one[:DIGITS],) for one in self.leftovers)]
        yield [("shared",), *((one,) for one in self.stages)]


class Aborted(Answer):
    """Unfinished uploads that were aborted, or would be."""

    name: str
    dry_run: bool
    older_than_hours: float
    uploads: tuple[tuple[str, str], ...]
    """Key, start (UTC)."""

    def sentence(self) -> str:
        """Counts."""
        did = "would abort" if self.dry_run else "aborted"
        what = count(len(self.uploads), "unfinished upload")
        return f"{did} {what} of {self.name} that began more than {self.older_than_hours:g} hours ago"

    def tables(self) -> Iterator[Rows]:
        """The uploads."""
        yield [("key", "started (UTC)"), *((key, started[:16]) for key, started in self.uploads)]


def _blank_t(row: tuple[str, ...]) -> tuple[str, ...]:
    return (*row[:-1], row[-1].replace("T", " "))


def _loss(facts: dict[str, Any]) -> str:
    after, floor = facts.get("loss_after"), facts.get("loss_floor")
    if not isinstance(after, float):
        return "-"
    return f"{after:.3f}" + (f" (floor {floor:.3f})" if isinstance(floor, float) else "")


def _corpus(facts: dict[str, Any]) -> str:
    corpus = facts.get("corpus")
    if not isinstance(corpus, dict) or not isinstance(corpus.get("documents"), int):
        return "-"
    return f"{corpus['documents']:,} documents, {str(corpus.get('sha256'))[:DIGITS]}"


def _flat(facts: dict[str, Any], above: str = "") -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for name, value in facts.items():
        label = f"{above}{name.replace('_', ' ')}"
        rows += _flat(value, f"{label} ") if isinstance(value, dict) else [(label, _plain_value(value))]
    return rows


def _plain_value(value: object) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no"}.get(bool(value), "-") if value is not None else "-"
    return f"{value:,}" if isinstance(value, int) else f"{value:.4f}" if isinstance(value, float) else str(value)
