import re

import pytest
from rich.cells import cell_len

from tasks.evaluation.comparison import Pair, list_markdown, samples_markdown, samples_table

HOSTILE = [
    "a | b", "a\nb", "a\r\nb", "a\u2028b", "a\x85b", "<script>alert(1)</script>", "</td></tr>", "<!-- ", "&lt;b&gt;",
    "`code", "```\nfence", "*bold*", "_under_", "[link](javascript:alert(1))", "![i](http://x/y.png)", "a\\|b", "\\",
    "\x1b[31mred\x1b]0;title\x07", "a\tb", "\x00", "\u202eright to left", "\ud800", "", "  ", "# heading", "~~gone~~",
]  # fmt: skip


def unescaped_bars(line: str) -> int:
    return len(re.findall(r"(?<!\\)\|", line))


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_what_a_model_wrote_cannot_break_out_of_its_cell(text: str) -> None:
    for markdown, bars in (
        (samples_markdown([Pair(text, 1, text, text), Pair("p", 2, "b", "a")]), 4),
        (list_markdown([(text, text), ("p", "a")]), 3),
    ):
        lines = markdown.removesuffix("\n").split("\n")
        assert len(lines) == 4
        assert markdown.splitlines() == lines
        assert [unescaped_bars(line) for line in lines] == [bars] * 4
        assert not set("<>`*[]\\_") & set(lines[2])
        assert all(char.isprintable() for char in lines[2])
        markdown.encode()


def test_ordinary_text_is_shown_as_it_is() -> None:
    pair = Pair("you can", 7, " build ün crêpe — 日本", " make a basic sandwich")
    assert samples_markdown([pair]).splitlines()[2] == (
        "| 'you can' |  build ün crêpe — 日本 |  make a basic sandwich |"
    )
    assert list_markdown([("you can", " go")]).splitlines()[2] == "| 'you can' |  go |"


def test_an_ampersand_is_shown_and_not_read() -> None:
    assert "&amp;lt;b&amp;gt;" in list_markdown([("p", "&lt;b&gt;")])


def test_the_table_shows_each_prompt_once_beside_its_first_sample() -> None:
    pairs = [Pair(prompt, seed, f"b{prompt}{seed}", f"a{prompt}{seed}") for prompt in "xy" for seed in (1, 2)]
    table = samples_table(pairs, width=60)
    assert table.count("'x'") == table.count("'y'") == 1
    line = next(line for line in table.splitlines() if "'x'" in line)
    assert "bx1" in line
    assert "ax1" in line
    assert all(text in table for text in ("bx2", "ay2"))


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_a_terminal_does_not_obey_what_a_model_wrote(text: str) -> None:
    table = samples_table([Pair(text, 1, text, f"[red]{text}[/red]")], width=80)
    assert all(char.isprintable() or char == "\n" for char in table)
    table.encode()
    assert {cell_len(line) for line in table.splitlines()} == {80}
    assert "[red]" in table


def test_long_text_is_folded_and_nothing_is_lost() -> None:
    words = " ".join(f"word{number}" for number in range(60))
    table = samples_table([Pair("p", 1, words, "short")], width=50)
    assert all(f"word{number}" in table for number in range(60))
    assert {len(line) for line in table.splitlines()} == {50}
