import re

import pytest

from tasks.evaluation.text import Pair, list_markdown, samples_markdown

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
