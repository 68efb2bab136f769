"""Tables as Markdown and as text."""

import pytest
from rich.table import Table

from tasks.evaluation.tables import markdown_table, render_text
from tasks.evaluation.text import Markdown, markdown_code
from tests.factories.hostile_text import HOSTILE, unescaped_bars


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_no_text_can_break_out_of_its_cell(text: str) -> None:
    for columns in (2, 3):
        markdown = markdown_table(["p", "b", "a"][:columns], [[text] * columns, ["p", "b", "a"][:columns]])
        lines = markdown.removesuffix("\n").split("\n")
        assert len(lines) == 4
        assert markdown.splitlines() == lines
        assert [unescaped_bars(line) for line in lines] == [columns + 1] * 4
        assert not set("<>`*[]\\_") & set(lines[2])
        assert all(char.isprintable() for char in lines[2])
        markdown.encode()


def test_ordinary_text_is_shown_as_it_is() -> None:
    rows = [("'you can'", " build ün crêpe — 日本", " make a basic sandwich")]
    assert markdown_table(("prompt", "before", "after"), rows).splitlines() == [
        "| prompt | before | after |",
        "| --- | --- | --- |",
        "| 'you can' |  build ün crêpe — 日本 |  make a basic sandwich |",
    ]


def test_an_entity_in_a_text_is_shown_and_not_decoded() -> None:
    assert "&amp;lt;b&amp;gt;" in markdown_table(["a"], [["&lt;b&gt;"]])


def test_markdown_is_not_escaped_again() -> None:
    rows = [(markdown_code("a_b|<c>"), Markdown("**bold**"))]
    assert markdown_table(("a", "b"), rows, rule="---:").splitlines()[1:] == [
        "| ---: | ---: |",
        "| <code>a&#95;b&#124;&lt;c&gt;</code> | **bold** |",
    ]


def test_rendered_text_has_no_blanks_at_the_ends_of_lines_and_colours_only_on_request() -> None:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_row("[red]a[/red]", "b")
    assert render_text(grid, width=20) == "a  b\n"
    assert "\x1b[31ma" in render_text(grid, width=20, colour=True)
