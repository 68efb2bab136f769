"""Answers of the release commands: a sentence with tables, as text for a terminal, Markdown for the UI, or JSON.

What a store returned is displayed, never interpreted: control characters and Markdown are escaped.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict
from rich import box
from rich.table import Table
from rich.text import Text

from tasks.evaluation.tables import markdown_table, render_text
from tasks.evaluation.text import markdown_cell, one_line
from tasks.units import count, number, size

DIGITS = 12
"""Digits of a version or sha256 that are displayed."""
Rows = Sequence[Sequence[str]]
"""The first row is the header."""


class Answer(BaseModel):
    """What a command prints: a sentence, and tables."""

    model_config = ConfigDict(frozen=True)

    def sentence(self) -> str:
        """What was done or found."""
        raise NotImplementedError

    def tables(self) -> Iterator[Rows]:
        """The tables; one without rows below its header is not displayed."""
        yield from ()

    def text(self, width: int = 100) -> str:
        """Plain text, at most `width` columns wide."""
        shown = [_text(rows, width) for rows in self.tables() if len(rows) > 1]
        return "\n".join([*shown, one_line(self.sentence())])

    def markdown(self) -> str:
        """For the UI."""
        shown = [markdown_table(rows[0], rows[1:]) for rows in self.tables() if len(rows) > 1]
        return "\n\n".join([markdown_cell(self.sentence()), *shown])


class VersionEntry(BaseModel):
    """One version; `published_at` is UTC in ISO 8601, `facts` the content of its `release.json`."""

    version: str
    published_at: str
    bytes: int
    files: int
    aliases: tuple[str, ...]
    facts: dict[str, Any]


class AliasEntry(BaseModel):
    """One alias: the version that it names, the one before, and how often it has moved (`seq`)."""

    alias: str
    version: str
    previous: str | None
    seq: int
    published_at: str


class ListResult(Answer):
    """The versions of a release, newest first, and its aliases."""

    destination: str
    name: str
    versions: tuple[VersionEntry, ...]
    aliases: tuple[AliasEntry, ...]
    other_names: tuple[str, ...]
    incomplete: int

    def sentence(self) -> str:
        """How many versions there are, and the other releases at the destination."""
        sentence = f"{count(len(self.versions), 'version')} of {self.name} in {self.destination}"
        if self.incomplete:
            sentence += f"; {count(self.incomplete, 'incomplete one')} (publish again, or prune)"
        if self.other_names:
            sentence += f"; also published there: {', '.join(self.other_names)} (--release.name)"
        return sentence

    def tables(self) -> Iterator[Rows]:
        """Versions and aliases."""
        yield _version_rows(self.versions)
        yield [
            ("alias", "version", "before", "moves", "moved (UTC)"),
            *(
                (one.alias, one.version[:DIGITS], (one.previous or "-")[:DIGITS], f"{one.seq:,}", _time(one))
                for one in self.aliases
            ),
        ]


class ShowResult(Answer):
    """One version with its files."""

    uri: str
    version: VersionEntry
    files: dict[str, tuple[int, str]]
    """Path → bytes, sha256."""

    def sentence(self) -> str:
        """The permanent URI."""
        return self.uri

    def tables(self) -> Iterator[Rows]:
        """Facts and files."""
        yield [
            ("fact", ""),
            ("published (UTC)", self.version.published_at),
            ("size", size(self.version.bytes)),
            ("aliases", ", ".join(self.version.aliases) or "-"),
            *_flatten(self.version.facts),
        ]
        yield [("file", "bytes", "sha256"), *((path, f"{n:,}", sha[:DIGITS]) for path, (n, sha) in self.files.items())]


class MoveResult(Answer):
    """An alias after a promotion or rollback."""

    name: str
    alias: str
    version: str
    previous: str | None
    seq: int
    moved: bool

    def sentence(self) -> str:
        """The version that it names now, and the one before."""
        if not self.moved:
            return f"{self.name}@{self.alias} names {self.version[:DIGITS]} already"
        before = f", before it named {self.previous[:DIGITS]}" if self.previous else ""
        return f"{self.name}@{self.alias} names {self.version[:DIGITS]} now{before} (move {self.seq:,})"


class FetchResult(Answer):
    """A release on disk."""

    name: str
    version: str
    folder: str
    files: int
    bytes: int
    downloaded_bytes: int

    def sentence(self) -> str:
        """Its size and folder."""
        what = f"{self.name}@{self.version[:DIGITS]}: {count(self.files, 'file')}, {size(self.bytes)}, verified"
        return f"{what}, in {self.folder}" + ("" if self.downloaded_bytes else " (it was there already)")


class VerifyResult(Answer):
    """A version of which every byte was read and verified."""

    name: str
    version: str
    files: int
    bytes: int

    def sentence(self) -> str:
        """What was read."""
        return f"{self.name}@{self.version} is whole: {count(self.files, 'file')}, {size(self.bytes)}, all hashes right"


class PruneResult(Answer):
    """What prune deleted, or would delete."""

    name: str
    dry_run: bool
    kept: int
    versions: tuple[VersionEntry, ...]
    leftovers: tuple[str, ...]
    stages: tuple[str, ...]
    """Copies of stage folders."""

    def sentence(self) -> str:
        """The counts, and after a dry run how to delete."""
        what = f"{count(len(self.versions), 'version')} of {self.name}"
        if self.leftovers:
            what += f" and {count(len(self.leftovers), 'incomplete one')}"
        if self.stages:
            what += f" and {count(len(self.stages), 'shared stage folder')}"
        if not self.dry_run:
            return f"deleted {what}; {self.kept:,} kept"
        return f"would delete {what} and keep {self.kept:,}" + (
            "; delete with --no-dry-run" if self.versions or self.leftovers or self.stages else ""
        )

    def tables(self) -> Iterator[Rows]:
        """Versions, incomplete versions, and shared stage folders."""
        yield _version_rows(self.versions)
        yield [("incomplete",), *((one[:DIGITS],) for one in self.leftovers)]
        yield [("shared",), *((one,) for one in self.stages)]


class AbortResult(Answer):
    """Unfinished uploads that were aborted, or would be."""

    name: str
    dry_run: bool
    older_than_hours: float
    uploads: tuple[tuple[str, str], ...]
    """Key, start (UTC)."""

    def sentence(self) -> str:
        """How many there were."""
        did = "would abort" if self.dry_run else "aborted"
        what = count(len(self.uploads), "unfinished upload")
        return f"{did} {what} of {self.name} that began more than {self.older_than_hours:g} hours ago"

    def tables(self) -> Iterator[Rows]:
        """The uploads."""
        yield [("key", "started (UTC)"), *((key, started[:16]) for key, started in self.uploads)]


def _version_rows(versions: Sequence[VersionEntry]) -> Rows:
    return [
        ("version", "published (UTC)", "size", "loss", "corpus", "commit", "aliases"),
        *(
            (
                one.version[:DIGITS],
                _time(one),
                size(one.bytes),
                _loss(one.facts),
                _corpus(one.facts),
                str(one.facts.get("git_commit") or "-")[:DIGITS],
                ", ".join(one.aliases) or "-",
            )
            for one in versions
        ),
    ]


def _time(one: VersionEntry | AliasEntry) -> str:
    return one.published_at[:16].replace("T", " ")


def _loss(facts: Mapping[str, Any]) -> str:
    after, floor = facts.get("loss_after"), facts.get("loss_floor")
    if not isinstance(after, float):
        return "-"
    return f"{after:.3f}" + (f" (floor {floor:.3f})" if isinstance(floor, float) else "")


def _corpus(facts: Mapping[str, Any]) -> str:
    corpus = facts.get("corpus")
    if not isinstance(corpus, dict) or not isinstance(corpus.get("documents"), int):
        return "-"
    return f"{corpus['documents']:,} documents, {str(corpus.get('sha256'))[:DIGITS]}"


def _flatten(facts: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in facts.items():
        label = f"{prefix}{name.replace('_', ' ')}"
        if isinstance(value, dict):
            yield from _flatten(value, f"{label} ")
        else:
            yield label, _plain_value(value)


def _plain_value(value: object) -> str:
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case int() | float():
            return number(value)
    return str(value)


def _text(rows: Rows, width: int) -> str:
    table = Table(box=box.ASCII2, show_edge=False, show_lines=False, pad_edge=False)
    for head in rows[0]:
        table.add_column(head, overflow="fold")
    for row in rows[1:]:
        table.add_row(*(Text(one_line(one)) for one in row))
    return render_text(table, width=width)
