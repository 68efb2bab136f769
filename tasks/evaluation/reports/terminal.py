"""The summary of a run for a terminal: verdict, headline metrics and samples side by side, cut to one screen."""

from collections.abc import Iterator, Sequence

from rich.cells import set_cell_size
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from tasks.evaluation.models.measures import headline_metrics, passes_gate, reasons, samples_by_prompt
from tasks.evaluation.models.run_figures import RunFigures, Sample
from tasks.evaluation.reports.markdown import NOTHING, headline
from tasks.evaluation.tables import render_text
from tasks.evaluation.text import one_line
from tasks.units import count

PROMPTS = 5
"""The number of prompts that are shown."""

LINES = 24
"""Lines that all samples together take, unless there are more samples than lines."""

MIN_WIDTH = 50
"""The smallest width in columns, also where the terminal has fewer."""

MARK = 7
"""Width of the longest mark in columns."""

GAP = 2
"""Blanks between two columns of a table."""

STYLES = {"new": "green", "copied": "yellow", "invalid": "red"}
COLUMNS = {"base": "before", "challenger": "after", "champion": "champion"}


def summary_text(figures: RunFigures, *, width: int, samples_per_prompt: int = 3, colour: bool = False) -> str:
    """Lines of at most `width` columns, without colour codes unless `colour`; control characters are escaped."""
    width = max(width, MIN_WIDTH)
    parts = [
        _verdict(figures),
        Text(),
        _headline_metrics(figures),
        Text(),
        *_samples(figures, width, samples_per_prompt),
    ]
    return render_text(Group(*parts), width=width, colour=colour)


def _verdict(figures: RunFigures) -> Table:
    """The verdict with its main reason; where a better loss is refused, the last guard that failed."""
    why = reasons(figures)
    main = why[-1] if figures.verdict.comparison.wins and not figures.verdict.promote else why[0]
    more = f" (and {count(len(why) - 1, 'reason')} more in the report)" if len(why) > 1 else ""
    style = "red" if not figures.verdict.promote else "green" if passes_gate(figures) else "yellow"
    grid = Table.grid(padding=(0, GAP, 0, 0))
    grid.add_row(Text("verdict"), Text(headline(figures), style=f"bold {style}"))
    grid.add_row(Text(), Text(one_line(main) + more))
    return grid


def _headline_metrics(figures: RunFigures) -> Table:
    """Losses, validity and novelty, with a column for each model and one for the floor."""
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
    """The table of samples, then the number of prompts that are not shown."""
    shown = [(prompt, indices[:most]) for prompt, indices in samples_by_prompt(figures).items()]
    if not shown:
        return
    lines = max(1, LINES // sum(len(indices) for _, indices in shown[:PROMPTS]))
    yield _table(figures, shown[:PROMPTS], width, lines)
    if len(shown) > PROMPTS:
        yield Text(f"and {count(len(shown) - PROMPTS, 'prompt')} more in the report")


def _table(figures: RunFigures, shown: Sequence[tuple[str, list[int]]], width: int, lines: int) -> Table:
    """Prompt, before and after, `lines` lines each; where samples have marks, these have columns of their own."""
    mark = MARK if any(one.mark for row in figures.samples for one in row.written) else 0
    prompt = width // 5
    text = (width - prompt - 2 * mark - (4 if mark else 2) * GAP) // 2
    grid = Table.grid(padding=(0, GAP, 0, 0))
    for columns in (prompt, *([mark, text] if mark else [text]) * 2):
        grid.add_column(width=columns, no_wrap=True)
    blank = [Text()] if mark else []
    grid.add_row(_head("prompt"), *blank, _head("before"), *blank, _head("after"))
    for name, indices in shown:
        for index in indices:
            first = Text(_cut(repr(name), prompt, lines) if index == indices[0] else "")
            before, after = figures.samples[index].written[:2]
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
    """At most `lines` lines of `columns` columns; an ellipsis marks where the text is cut."""
    wrapped = [
        line.plain.rstrip() for line in Text(one_line(text)).wrap(Console(width=columns), columns, overflow="fold")
    ]
    if len(wrapped) > lines:
        rest = " ".join(wrapped[lines - 1 :])
        wrapped[lines - 1 :] = [f"{set_cell_size(rest, columns - 1).rstrip()}…"]
    return "\n".join(wrapped)
