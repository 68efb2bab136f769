"""End of a run: one screen of the terminal, but for the release and what to do next.

What comes in: RunFigures and the columns of the terminal. What it leaves: the verdict, losses, validity and novelty,
and samples before and after side by side, cut so that all of it is seen at once. A terminal does not obey what a model
wrote.
"""

from collections.abc import Iterator, Sequence

from rich.cells import set_cell_size
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from tasks.evaluation.models.measures import by_prompt, headline_metrics, passes_gate, reasons
from tasks.evaluation.models.run_figures import RunFigures, Sample
from tasks.evaluation.reports.markdown import NOTHING, headline
from tasks.evaluation.tables import render_text
from tasks.evaluation.text import one_line
from tasks.units import count

PROMPTS = 5
"""Prompts that are shown."""

LINES = 24
"""Lines that all samples together may take, unless there are more samples."""

NARROWEST = 50
"""Columns, however few the terminal has."""

MARK = 7
"""Columns of the longest mark."""

GAP = 2
"""Columns between two columns."""

STYLES = {"new": "green", "copied": "yellow", "invalid": "red"}
COLUMNS = {"base": "before", "challenger": "after", "champion": "champion"}


def end_text(figures: RunFigures, *, width: int, samples_per_prompt: int = 3, colour: bool = False) -> str:
    """The end of a run as lines of at most `width` columns; plain text unless `colour`, and the same each time."""
    width = max(width, NARROWEST)
    parts = [_verdict(figures), Text(), _glance(figures), Text(), *_samples(figures, width, samples_per_prompt)]
    return render_text(Group(*parts), width=width, colour=colour)


def _verdict(figures: RunFigures) -> Table:
    """The verdict with its main reason: of a refusal in spite of a better loss, the last guard that was failed."""
    said = reasons(figures)
    main = said[-1] if figures.verdict.comparison.wins and not figures.verdict.promote else said[0]
    more = f" (and {count(len(said) - 1, 'reason')} more in the report)" if len(said) > 1 else ""
    style = "red" if not figures.verdict.promote else "green" if passes_gate(figures) else "yellow"
    grid = Table.grid(padding=(0, GAP, 0, 0))
    grid.add_row(Text("verdict"), Text(headline(figures), style=f"bold {style}"))
    grid.add_row(Text(), Text(one_line(main) + more))
    return grid


def _glance(figures: RunFigures) -> Table:
    """Losses, validity and novelty, a column for each model and one for the floor."""
    rows = headline_metrics(figures)
    floored = any(row.floor for row in rows)
    heads = [*(COLUMNS[one.role] for one in figures.models), *(["floor"] * floored)]
    grid = Table.grid(padding=(0, GAP, 0, 0))
    grid.add_column()
    for _ in heads:
        grid.add_column(justify="right")
    grid.add_row(Text(), *(Text(head, style="bold") for head in heads))
    for row in rows:
        grid.add_row(Text(row.name), *map(Text, row.values), *([Text(row.floor)] * floored))
    return grid


def _samples(figures: RunFigures, width: int, most: int) -> Iterator[RenderableType]:
    """The table of samples, and how many prompts there are more."""
    shown = [(prompt, places[:most]) for prompt, places in by_prompt(figures)]
    if not shown:
        return
    lines = max(1, LINES // sum(len(places) for _, places in shown[:PROMPTS]))
    yield _table(figures, shown[:PROMPTS], width, lines)
    if len(shown) > PROMPTS:
        yield Text(f"and {count(len(shown) - PROMPTS, 'prompt')} more in the report")


def _table(figures: RunFigures, shown: Sequence[tuple[str, list[int]]], width: int, lines: int) -> Table:
    """Prompt, before and after, `lines` lines each; the marks have a column each where there are any."""
    mark = MARK if any(one.mark for row in figures.samples for one in row.written) else 0
    prompt = width // 5
    text = (width - prompt - 2 * mark - (4 if mark else 2) * GAP) // 2
    grid = Table.grid(padding=(0, GAP, 0, 0))
    for columns in (prompt, *([mark, text] if mark else [text]) * 2):
        grid.add_column(width=columns, no_wrap=True)
    blank = [Text()] if mark else []
    grid.add_row(_head("prompt"), *blank, _head("before"), *blank, _head("after"))
    for name, places in shown:
        for place in places:
            first = Text(_cut(repr(name), prompt, lines) if place == places[0] else "")
            before, after = figures.samples[place].written[:2]
            grid.add_row(first, *_cells(before, text, lines)[not mark :], *_cells(after, text, lines)[not mark :])
        if name != shown[-1][0]:
            grid.add_row()
    return grid


def _head(name: str) -> Text:
    return Text(name, style="bold")


def _cells(one: Sample, columns: int, lines: int) -> list[Text]:
    """The mark and the text of one sample."""
    return [Text(one.mark, style=STYLES.get(one.mark, "")), Text(_cut(one.text.strip() or NOTHING, columns, lines))]


def _cut(text: str, columns: int, lines: int) -> str:
    """So many lines of so many columns; an ellipsis stands for what is cut off."""
    wrapped = [
        line.plain.rstrip() for line in Text(one_line(text)).wrap(Console(width=columns), columns, overflow="fold")
    ]
    if len(wrapped) > lines:
        rest = " ".join(wrapped[lines - 1 :])
        wrapped[lines - 1 :] = [f"{set_cell_size(rest, columns - 1).rstrip()}…"]
    return "\n".join(wrapped)
