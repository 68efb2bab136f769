"""A run as lines for the log and as Markdown for the UI."""

import re

import pytest

from tasks.evaluation.models.measures import all_metrics
from tasks.evaluation.reports.markdown import metrics_markdown, samples_markdown, summary_markdown, verdict_text
from tests.factories.hostile_text import unescaped_bars
from tests.factories.runs import CHAMPION, RUNS, run


def test_the_verdict_comes_first_and_then_each_reason() -> None:
    text = verdict_text(run("champion"))
    assert text[0] == "promote: the challenger becomes champion"
    assert text[1:] == list(run("champion").verdict.reasons)
    assert CHAMPION in text[1]


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("refused", f"refused: the champion {CHAMPION[:12]} stays"),
        ("refused first", "refused: there is still no champion"),
        ("off", "promote: the challenger becomes champion"),
    ],
)
def test_the_first_line_says_whether_the_champion_changes(name: str, first: str) -> None:
    assert verdict_text(run(name))[0] == first
    assert first.removeprefix("refused: ") in summary_markdown(run(name)).splitlines()[0]


def test_a_gate_that_is_off_is_reported() -> None:
    for text in (" ".join(verdict_text(run("off"))), summary_markdown(run("off"))):
        assert "the gate is off" in text


def test_each_metric_is_a_row_with_a_column_for_each_model() -> None:
    lines = metrics_markdown(run("champion")).splitlines()
    assert lines[0] == "| measure | base model | challenger | champion |"
    assert lines[2] == f"| model | scratch-tiny | scratch-tiny, fine-tuned | {CHAMPION[:12]} |"
    rows = {cells[1]: cells[2:-1] for cells in (re.split(r" ?\| ?", line) for line in lines[3:])}
    assert [name.partition(" (")[0] for name in rows] == [
        "held-out loss in nats per token, with its 95 % interval", "perplexity", "nats per document",
        "nats per document above the floor", "valid", "valid and new", "verbatim training documents",
        "options covered", "entropy relative to the template, minimum and mean of the slots", "longest copied span",
        "copied runs of 4 words", "distinct-1", "distinct-2", "repetition",
    ]  # fmt: skip
    assert rows["nats per document (lower is better)"] == ["131.6", "10.90", "11.40"]
    assert rows["nats per document above the floor (lower is better)"] == ["120.8", "0.1100", "0.6100"]
    assert rows["valid (higher is better)"] == ["0 of 15 (0.0 %)", "9 of 15 (60.0 %)", "12 of 15 (80.0 %)"]
    assert rows["valid and new (higher is better)"][1] == "3 of 15 (20.0 %)"
    assert rows["verbatim training documents"][1] == "6 of 15 (40.0 %)"
    assert rows["longest copied span"] == ["1 word", "19 words", "18 words"]


def test_a_metric_that_no_model_has_is_left_out() -> None:
    names = {row.name for row in all_metrics(run("text files"))}
    assert not names & {"valid", "valid and new", "options covered", "nats per document above the floor"}
    assert {"perplexity", "distinct-1"} <= names
    assert "floor" not in summary_markdown(run("text files"))


def test_a_loss_that_is_not_finite_is_reported_as_such() -> None:
    for show in (metrics_markdown, summary_markdown):
        assert "| 6.267" in show(run("not finite"))
        assert "| not finite |" in show(run("not finite"))


def test_a_prompt_occurs_once_with_its_flags_and_every_sample_with_its_mark() -> None:
    markdown = samples_markdown(run("champion"))
    assert markdown.count("'To make a cheese sandwich ' (ends in a space: ") == 1
    assert markdown.count("#### 'you can'\n") == 1
    marks = [one.mark for row in run("champion").samples for one in row.written]
    assert markdown.count("    - challenger: ") == len(run("champion").samples)
    assert {mark: markdown.count(f"**{mark}** ") for mark in marks} == {mark: marks.count(mark) for mark in marks}
    assert set(marks) == {"new", "copied", "invalid"}


@pytest.mark.parametrize("name", RUNS)
def test_no_text_of_a_model_can_break_the_markdown(name: str) -> None:
    for markdown in (metrics_markdown(run(name)), samples_markdown(run(name)), summary_markdown(run(name))):
        lines = markdown.removesuffix("\n").split("\n")
        assert markdown.splitlines() == lines
        assert len({unescaped_bars(line) for line in lines if line.startswith("|")}) <= 1
        assert all(char.isprintable() for line in lines for char in line)
        assert not re.search(r"[<>`]", markdown)
        markdown.encode()
