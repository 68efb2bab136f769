"""A corpus report as text for the terminal and as Markdown for the UI, made of the same rows."""

from itertools import zip_longest
from math import ceil

from rich.table import Table
from rich.text import Text

from tasks.evaluation.corpus.figures import CorpusReport, Lengths
from tasks.evaluation.corpus.rows import Row, histogram, sections
from tasks.evaluation.tables import markdown_table, render_text
from tasks.evaluation.text import one_line

WIDTH = 100
"""Columns of the text."""

BAR = 20
"""Columns of the longest bar, if they fit."""

GAP = 2
"""Blanks between two columns."""


def report_text(report: CorpusReport, *, width: int = WIDTH) -> str:
    """The report as lines of at most `width` columns, without colours."""
    parts = sections(report)
    names = max(len(name) for _, rows in parts for name, _ in rows)
    table = Table.grid(padding=(0, GAP, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    previous = ""
    for title, rows in parts:
        for name, value in rows:
            table.add_row(Text(one_line(name) if name != previous else ""), Text(one_line(value)))
            previous = name
        if title == "Length" and report.characters:
            table.add_row(Text(""), _histograms(report, width - names - GAP))
    return render_text(table, width=width)


def report_markdown(report: CorpusReport) -> str:
    """The report as Markdown: a heading and a table per section."""
    lines = ["# Corpus report", ""]
    for title, rows in sections(report):
        if rows:
            lines += [f"## {title}", "", markdown_table(["figure", "value"], rows)]
        if title == "Length" and report.characters:
            sides = zip_longest(histogram(report.characters), histogram(report.words), fillvalue=Row("", ""))
            both = [[*left, *right] for left, right in sides]
            lines.append(markdown_table(["characters", "documents", "words", "documents"], both))
    return "\n".join(lines)


def _histograms(report: CorpusReport, width: int) -> Table:
    """Both histograms side by side: the range, the documents and a bar."""
    sides = [_side("characters", report.characters), _side("words", report.words)]
    cells = [max(len(row[0]) for row in side) + max(len(row[1]) for row in side) for side in sides]
    bar = min(BAR, max(1, (width - sum(cells) - 5 * GAP) // 2))
    grid = Table.grid(padding=(0, GAP, 0, 0))
    for _ in sides:
        grid.add_column(justify="right", no_wrap=True)
        grid.add_column(justify="right", no_wrap=True)
        grid.add_column(width=bar)
    for left, right in zip_longest(*sides, fillvalue=("", "", 0.0)):
        grid.add_row(*left[:2], _bar(left[2], bar), *right[:2], _bar(right[2], bar))
    return grid


def _side(name: str, lengths: Lengths | None) -> list[tuple[str, str, float]]:
    """One histogram: the range, the documents, and the length of the bar relative to the longest."""
    bins = lengths.bins if lengths else ()
    most = max([one.documents for one in bins], default=1)
    rows = [(*row, one.documents / most) for row, one in zip(histogram(lengths), bins, strict=True)]
    return [(name, "documents", 0.0), *rows]


def _bar(share: float, width: int) -> str:
    return "#" * ceil(share * width)
