import json
from collections.abc import Iterator
from typing import Any

import pytest

from tasks.registry.answers import (
    AbortResult,
    Answer,
    FetchResult,
    ListResult,
    MoveResult,
    PruneResult,
    Rows,
    ShowResult,
    VersionEntry,
)

OLD, NEW = "a" * 64, "b" * 64
FACTS: dict[str, Any] = {
    "loss_after": 0.52, "loss_floor": 0.5, "git_commit": "c0ffee" * 6, "corpus": {"documents": 6000, "sha256": "d" * 64}
}  # fmt: skip


def version_entry(facts: dict[str, Any]) -> VersionEntry:
    return VersionEntry(
        version=NEW, published_at="2026-01-02T03:04:05+00:00", bytes=5000, files=2, aliases=("latest",), facts=facts
    )


def list_result(facts: dict[str, Any]) -> ListResult:
    return ListResult(
        destination="store", name="jokes", versions=(version_entry(facts),), aliases=(), other_names=(), incomplete=0
    )


class Hostile(Answer):
    def sentence(self) -> str:
        return "\x1b[31m|`x` <b>"

    def tables(self) -> Iterator[Rows]:
        yield [("head",), ("\x1b[2J|<script>",)]
        yield [("empty",)]


def test_control_characters_and_markdown_are_escaped() -> None:
    answer = Hostile()
    assert "\x1b" not in answer.text() + answer.markdown()
    assert "<" not in answer.markdown()
    assert [line.count("|") for line in answer.markdown().splitlines() if line] == [0, 2, 2, 2]


def test_a_table_without_rows_is_not_displayed() -> None:
    assert "empty" not in Hostile().text() + Hostile().markdown()


def test_a_version_is_one_row_with_its_figures() -> None:
    row = list_result(FACTS).text(160).splitlines()[2]
    cells = [cell.strip() for cell in row.split("|")]
    assert cells == [
        "b" * 12, "2026-01-02 03:04", "0.0 MiB", "0.520 (floor 0.500)", "6,000 documents, dddddddddddd",
        "c0ffeec0ffee", "latest",
    ]  # fmt: skip


@pytest.mark.parametrize("facts", [{}, {"loss_after": "low", "corpus": [], "git_commit": None}, {"corpus": {}}])
def test_facts_that_are_missing_or_damaged_are_a_dash(facts: dict[str, Any]) -> None:
    cells = [cell.strip() for cell in list_result(facts).text(160).splitlines()[2].split("|")]
    assert cells[3:6] == ["-", "-", "-"]


def test_nested_facts_are_listed_one_per_row() -> None:
    facts = {**FACTS, "lora": True, "note": None, "loss_after": 0.123456}
    shown = ShowResult(uri="store/jokes@b", version=version_entry(facts), files={"a.txt": (5000, OLD)})
    rows, files = shown.tables()
    assert ("corpus documents", "6,000") in rows
    assert {("lora", "yes"), ("note", "-"), ("loss after", "0.1235")} <= set(map(tuple, rows))
    assert list(files) == [("file", "bytes", "sha256"), ("a.txt", "5,000", "a" * 12)]


def test_the_json_of_an_answer_has_its_fields() -> None:
    content = json.loads(list_result(FACTS).model_dump_json())
    assert list(content) == ["destination", "name", "versions", "aliases", "other_names", "incomplete"]
    assert list(content["versions"][0]) == ["version", "published_at", "bytes", "files", "aliases", "facts"]
    assert content["versions"][0]["facts"] == FACTS


@pytest.mark.parametrize(
    ("moved", "previous", "sentence"),
    [
        (True, None, "jokes@champion names bbbbbbbbbbbb now (move 3)"),
        (True, OLD, "jokes@champion names bbbbbbbbbbbb now, before it named aaaaaaaaaaaa (move 3)"),
        (False, OLD, "jokes@champion names bbbbbbbbbbbb already"),
    ],
)
def test_a_move_names_both_versions(moved: bool, previous: str | None, sentence: str) -> None:
    move = MoveResult(name="jokes", alias="champion", version=NEW, previous=previous, seq=3, moved=moved)
    assert move.sentence() == sentence


def test_a_dry_run_of_prune_says_how_to_delete() -> None:
    def prune_result(*, dry_run: bool, versions: tuple[VersionEntry, ...]) -> str:
        return PruneResult(
            name="jokes", dry_run=dry_run, kept=2, versions=versions, leftovers=(OLD,) * len(versions), stages=()
        ).sentence()

    old = (version_entry({}),)
    assert prune_result(dry_run=True, versions=()) == "would delete 0 versions of jokes and keep 2"
    assert prune_result(dry_run=True, versions=old) == (
        "would delete 1 version of jokes and 1 incomplete one and keep 2; delete with --no-dry-run"
    )
    assert prune_result(dry_run=False, versions=old) == "deleted 1 version of jokes and 1 incomplete one; 2 kept"


def test_a_fetch_says_whether_the_release_was_there() -> None:
    def sentence(downloaded: int) -> str:
        return FetchResult(
            name="jokes", version=NEW, folder="here", files=2, bytes=5000, downloaded_bytes=downloaded
        ).sentence()

    assert sentence(5000) == "jokes@bbbbbbbbbbbb: 2 files, 0.0 MiB, verified, in here"
    assert sentence(0).endswith("in here (it was there already)")


def test_aborted_uploads_are_counted_and_listed() -> None:
    uploads = (("jokes/versions/x", "2026-01-02T03:04:05"),)
    aborted = AbortResult(name="jokes", dry_run=True, older_than_hours=24, uploads=uploads)
    assert aborted.sentence() == "would abort 1 unfinished upload of jokes that began more than 24 hours ago"
    assert "jokes/versions/x" in aborted.text()
