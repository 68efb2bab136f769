"""Text of a run: the verdict, the measures and the samples, for the log, for the UI and for the terminal.

What comes in: RunFigures. What it leaves: lines for the log, Markdown for the UI, and the one screen that a run ends
with. A terminal does not obey what a model wrote, and it cannot leave its cell of a table.
"""

from tasks.evaluation.models.measures import (
    LABELS,
    all_metrics,
    by_prompt,
    headline_metrics,
    model_name,
    opponent_name,
    reasons,
)
from tasks.evaluation.models.run_figures import PromptNote, RunFigures, Sample
from tasks.evaluation.tables import markdown_table
from tasks.evaluation.text import markdown_cell, markdown_item, one_line

NOTHING = "(nothing)"
"""Stands where a model wrote nothing."""


def headline(figures: RunFigures) -> str:
    """The verdict as one line."""
    if figures.verdict.promote:
        return "promote: the challenger becomes champion"
    stays = f"{opponent_name(figures)} stays" if figures.model("champion") else "there is still no champion"
    return f"refused: {stays}"


def verdict_text(figures: RunFigures) -> list[str]:
    """The verdict, then each of its reasons, as lines that a terminal can show; digests are whole."""
    return [headline(figures), *map(one_line, figures.verdict.reasons)]


def summary_markdown(figures: RunFigures) -> str:
    """The verdict, its reasons, and losses, validity and novelty."""
    floored = any(row.floor for row in headline_metrics(figures))
    head = ["", *(LABELS[one.role] for one in figures.models), *(["loss floor"] * floored)]
    rows = [[row.name, *row.values, *([row.floor] * floored)] for row in headline_metrics(figures)]
    items = [f"* {markdown_cell(reason)}" for reason in reasons(figures)]
    return "\n".join([f"## {markdown_cell(headline(figures))}", "", *items, "", markdown_table(head, rows)])


def metrics_markdown(figures: RunFigures) -> str:
    """A row for each measure, a column for each model."""
    head = ["measure", *(LABELS[one.role] for one in figures.models)]
    names = ["model", *map(model_name, figures.models)]
    rows = [
        [row.name + (f" ({row.better} is better)" if row.better else ""), *row.values] for row in all_metrics(figures)
    ]
    return markdown_table(head, [names, *rows])


def samples_markdown(figures: RunFigures) -> str:
    """A section for each prompt, with its flags, and a line for each sample and model, which a phone can wrap."""
    notes = {note.text: note for note in figures.prompts}
    lines = []
    for prompt, places in by_prompt(figures):
        lines += ["", f"#### {_prompt(prompt, notes.get(prompt))}", ""]
        for number, place in enumerate(places, start=1):
            lines.append(f"{number}. seed {figures.samples[place].seed}")
            lines += [f"    - {LABELS[one.role]}: {_written(one)}" for one in figures.samples[place].written]
    return "\n".join(lines[1:]) + "\n"


def _prompt(prompt: str, note: PromptNote | None) -> str:
    flags = f" ({'; '.join(note.flags)})" if note and note.flags else ""
    return markdown_item(repr(prompt) + flags)


def _written(one: Sample) -> str:
    mark = f"**{one.mark}** " if one.mark else ""
    return mark + (markdown_item(one.text) if one.text else NOTHING)
