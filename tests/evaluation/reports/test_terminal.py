"""The summary that a run ends with: one screen of a terminal."""

import re

import pytest
from rich.cells import cell_len

from tasks.evaluation.models.gate import Guards
from tasks.evaluation.reports.terminal import summary_text
from tests.factories.runs import CHAMPION, RUNS, figures, run


@pytest.mark.parametrize(
    ("name", "verdict"),
    [
        ("refused", f"refused: the champion {CHAMPION[:12]} stays"),
        ("refused first", "refused: there is still no champion"),
        ("off", "promote: the challenger becomes champion"),
    ],
)
def test_the_verdict_says_whether_the_champion_changes(name: str, verdict: str) -> None:
    assert verdict in summary_text(run(name), width=100)


def test_a_gate_that_is_off_is_reported() -> None:
    assert "the gate is off" in summary_text(run("off"), width=100)


def test_a_run_on_text_files_shows_no_validity() -> None:
    assert "valid" not in summary_text(run("text files"), width=100)


def test_the_reason_shown_is_the_one_that_decided() -> None:
    failed = figures(champion=None, guards=Guards(max_copied=0.0))
    text = " ".join(summary_text(failed, width=100).split())
    assert not failed.verdict.promote
    assert "above max_copied = 0.0 % (and 1 reason more in the report)" in text
    assert "beats" not in text


@pytest.mark.parametrize("name", RUNS)
@pytest.mark.parametrize("width", [20, 80, 100, 237])
def test_the_summary_is_one_screen_that_no_sample_breaks_out_of(name: str, width: int) -> None:
    text = summary_text(run(name), width=width)
    lines = text.splitlines()
    assert max(map(cell_len, lines)) <= max(width, 50)
    assert all(char.isprintable() or char == "\n" for char in text)
    assert text == summary_text(run(name), width=width)
    if width >= 100:
        assert len(lines) <= 45
    text.encode()


def test_losses_floor_validity_and_novelty_are_shown() -> None:
    lines = summary_text(run("champion"), width=100).splitlines()
    cells = {line.split("  ")[0]: line.split() for line in lines}
    assert next(line.split() for line in lines if "floor" in line) == ["before", "after", "champion", "floor"]
    assert cells["loss, nats per token"][-4:] == ["6.267", "0.5190", "0.5429", "0.5138"]
    assert cells["loss, nats per document"][-4:] == ["131.6", "10.90", "11.40", "10.79"]
    assert " ".join(cells["valid and new"]) == "valid and new 0 of 15 (0.0 %) 3 of 15 (20.0 %) 0 of 15 (0.0 %)"


def test_the_prompts_that_are_not_shown_are_counted() -> None:
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


def test_there_are_no_colours_unless_they_are_requested() -> None:
    plain, coloured = summary_text(run("champion"), width=100), summary_text(run("champion"), width=100, colour=True)
    assert "\x1b" not in plain
    assert [re.sub(r"\x1b\[[\d;]*m", "", line).rstrip() for line in coloured.splitlines()] == plain.splitlines()
    assert "\x1b[1;32mpromote" in coloured
