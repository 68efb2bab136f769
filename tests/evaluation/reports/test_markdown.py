"""A run as text: lines for the log, Markdown for the UI, and the screen that a run ends with."""

import re
from functools import cache
from math import inf
from typing import Any

import pytest
from rich.cells import cell_len

from tasks.evaluation.models.gate import Guards
from tasks.evaluation.models.measures import all_metrics
from tasks.evaluation.models.run_figures import RunFigures
from tasks.evaluation.reports.markdown import metrics_markdown, samples_markdown, summary_markdown, verdict_text
from tasks.evaluation.reports.terminal import summary_text
from tests.factories.hostile_text import HOSTILE, unescaped_bars
from tests.factories.runs import CHAMPION, figures

RUNS: dict[str, dict[str, Any]] = {
    "champion": {},
    "first": {"champion": None},
    "own text": {"templates": [], "guards": Guards()},
    "refused": {"challenger": 140},
    "refused first": {"challenger": 140, "champion": None},
    "off": {"challenger": 140, "gate": "off"},
    "not finite": {"challenger": inf},
    "hostile": {"given": HOSTILE, "hostile": HOSTILE, "champion": None},
    "no samples": {"given": (), "samples": 0},
}
EVERY = pytest.mark.parametrize("name", RUNS)


@cache
def run(name: str) -> RunFigures:
    return figures(**RUNS[name])


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
def test_the_first_line_says_what_becomes_of_the_champion(name: str, first: str) -> None:
    assert verdict_text(run(name))[0] == first
    assert first.removeprefix("refused: ") in summary_markdown(run(name)).splitlines()[0]
    assert first in summary_text(run(name), width=100)


def test_a_gate_that_is_off_is_reported_everywhere() -> None:
    for text in (" ".join(verdict_text(run("off"))), summary_markdown(run("off")), summary_text(run("off"), width=100)):
        assert "the gate is off" in text


def test_the_reason_of_the_screen_is_the_one_that_decided() -> None:
    failed = figures(champion=None, guards=Guards(max_copied=0.0))
    text = " ".join(summary_text(failed, width=100).split())
    assert not failed.verdict.promote
    assert "above max_copied = 0.0 % (and 1 reason more in the report)" in text
    assert "beats" not in text


def test_the_measures_are_a_row_each_with_a_column_for_each_model() -> None:
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


def test_a_measure_that_no_model_has_is_left_out() -> None:
    names = {row.name for row in all_metrics(run("own text"))}
    assert not names & {"valid", "valid and new", "options covered", "nats per document above the floor"}
    assert {"perplexity", "distinct-1"} <= names
    assert "valid" not in summary_text(run("own text"), width=100)
    assert "floor" not in summary_markdown(run("own text"))


def test_a_loss_that_is_not_finite_is_reported_as_such() -> None:
    for show in (metrics_markdown, summary_markdown):
        assert "| 6.267" in show(run("not finite"))
        assert "| not finite |" in show(run("not finite"))


def test_a_prompt_stands_once_with_its_flags_and_every_sample_with_its_mark() -> None:
    markdown = samples_markdown(run("champion"))
    assert markdown.count("'To make a cheese sandwich ' (ends in a space: ") == 1
    assert markdown.count("#### 'you can'\n") == 1
    marks = [one.mark for row in run("champion").samples for one in row.written]
    assert markdown.count("    - challenger: ") == len(run("champion").samples)
    assert {mark: markdown.count(f"**{mark}** ") for mark in marks} == {mark: marks.count(mark) for mark in marks}
    assert set(marks) == {"new", "copied", "invalid"}


@EVERY
def test_markdown_holds_together_whatever_a_model_wrote(name: str) -> None:
    for markdown in (metrics_markdown(run(name)), samples_markdown(run(name)), summary_markdown(run(name))):
        lines = markdown.removesuffix("\n").split("\n")
        assert markdown.splitlines() == lines
        assert len({unescaped_bars(line) for line in lines if line.startswith("|")}) <= 1
        assert all(char.isprintable() for line in lines for char in line)
        assert not re.search(r"[<>`]", markdown)
        markdown.encode()


@EVERY
@pytest.mark.parametrize("width", [20, 80, 100, 237])
def test_the_end_of_a_run_is_one_screen_that_no_sample_breaks_out_of(name: str, width: int) -> None:
    text = summary_text(run(name), width=width)
    lines = text.splitlines()
    assert max(map(cell_len, lines)) <= max(width, 50)
    assert all(char.isprintable() or char == "\n" for char in text)
    assert text == summary_text(run(name), width=width)
    if width >= 100:
        assert len(lines) <= 45
    text.encode()


def test_losses_floor_validity_and_novelty_are_on_the_screen() -> None:
    lines = summary_text(run("champion"), width=100).splitlines()
    cells = {line.split("  ")[0]: line.split() for line in lines}
    assert next(line.split() for line in lines if "floor" in line) == ["before", "after", "champion", "floor"]
    assert cells["loss, nats per token"][-4:] == ["6.267", "0.5190", "0.5429", "0.5138"]
    assert cells["loss, nats per document"][-4:] == ["131.6", "10.90", "11.40", "10.79"]
    assert " ".join(cells["valid and new"]) == "valid and new 0 of 15 (0.0 %) 3 of 15 (20.0 %) 0 of 15 (0.0 %)"


def test_so_many_samples_are_shown_and_the_rest_is_counted() -> None:
    many = figures(given=[f"prompt {number}" for number in range(9)], samples=4)
    text = summary_text(many, width=100, samples_per_prompt=2)
    assert "and 6 prompts more in the report" in text
    assert [text.count(f"'prompt {number}'") for number in range(6)] == [1] * 5 + [0]
    assert text.count("invalid ") == 2 * 2 * 5


def test_few_samples_have_room_for_more_of_their_text() -> None:
    long = " ".join(f"word{number}" for number in range(40))
    many, one = (figures(given=["you can"], samples=samples, hostile=[long]) for samples in (12, 1))
    assert "word5" not in summary_text(many, width=100, samples_per_prompt=12)
    assert "word15" in summary_text(one, width=100)
    assert "…" in summary_text(many, width=100)


def test_there_are_no_colours_unless_they_are_asked_for() -> None:
    plain, coloured = summary_text(run("champion"), width=100), summary_text(run("champion"), width=100, colour=True)
    assert "\x1b" not in plain
    assert [re.sub(r"\x1b\[[\d;]*m", "", line).rstrip() for line in coloured.splitlines()] == plain.splitlines()
    assert "\x1b[1;32mpromote" in coloured
