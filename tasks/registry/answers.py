"""Answers: what a command says, as tables and a sentence for people, as Markdown for the UI, as JSON for programs.

What comes in: figures. What it leaves: text of at most the asked width, Markdown, or (by Pydantic) one JSON object.
What a store told is shown, never obeyed: control characters and Markdown are escaped.
"""

from collections.abc import Iterator, Sequence

from pydantic import BaseModel, ConfigDict
from rich import box
from rich.table import Table
from rich.text import Text

from tasks.evaluation.tables import markdown_table, render_text
from tasks.evaluation.text import markdown_cell, one_line

Rows = Sequence[Sequence[str]]
"""The first row holds the heads."""


class Answer(BaseModel):
    """What a command says: a sentence, and tables."""

    model_config = ConfigDict(frozen=True)

    def sentence(self) -> str:
        """What was done or found."""
        raise NotImplementedError

    def tables(self) -> Iterator[Rows]:
        """Heads and rows; none where the sentence is all."""
        yield from ()

    def text(self, width: int = 100) -> str:
        """For a terminal of so many columns."""
        shown = [_text(rows, width) for rows in self.tables() if len(rows) > 1]
        return "\n".join([*shown, one_line(self.sentence())])

    def markdown(self) -> str:
        """For the UI."""
        shown = [markdown_table(rows[0], rows[1:]) for rows in self.tables() if len(rows) > 1]
        return "\n\n".join([markdown_cell(self.sentence()), *shown])


def _text(rows: Rows, width: int) -> str:
    table = Table(box=box.ASCII2, show_edge=False, show_lines=False, pad_edge=False)
    for head in rows[0]:
        table.add_column(head, overflow="fold")
    for row in rows[1:]:
        table.add_row(*(Text(one_line(one)) for one in row))
    return render_text(table, width=width)
