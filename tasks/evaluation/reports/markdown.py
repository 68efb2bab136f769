"""The verdict, the metrics and the samples of a run: Markdown for the UI and lines for the log."""

from tasks.evaluation.models.measures import (
    LABELS,
    all_metrics,
    headline_metrics,
    model_name,
    opponent_name,
    reasons,
    samples_by_prompt,
)
from tasks.evaluation.models.run_figures import PromptNote, RunFigures, Sample
from tasks.evaluation.tables import markdown_table
from tasks.evaluation.text import markdown_cell, markdown_item, one_line

NOTHING = "(nothing)"
"""Shown where a model wrote nothing."""


def headline(figures: RunFigures) -> str:
    """The verdict as one line."""
    if figures.verdict.promote:
        return "promote: the challenger becomes champion"
    stays = f"{opponent_name(figures)} stays" if figures.model("champion") else "there is still no champion"
    return f"refused: {stays}"


def verdict_text(figures: RunFigures) -> list[str]:
    """The verdict, then each of its reasons, as lines for the log with full digests."""
    return [headline(figures), *map(one_line, figures.verdict.reasons)]


def summary_markdown(figures: RunFigures) -> str:
    """The verdict, its reasons, and losses, validity and novelty."""
    metrics = headline_metrics(figures)
    floored = any(row.floor for row in metrics)
    head = ["", *(LABELS[one.role] for one in figures.models), *(["loss floor"] * floored)]
    rows = [[row.name, *row.values, *([row.floor] * floored)] for row in metrics]
    items = [f"* {markdown_cell(reason)}" for reason in reasons(figures)]
    return "\n".join([f"## {markdown_cell(headline(figures))}", "", *items, "", markdown_table(head, rows)])


def metrics_markdown(figures: RunFigures) -> str:
    """A table with a row for each metric and a column for each model."""
    head = ["measure", *(LABELS[one.role] for one in figures.models)]
    names = ["model", *map(model_name, figures.models)]
    rows = [
        [row.name + (f" ({row.better} is better)" if row.better else ""), *row.values] for row in all_metrics(figures)
    ]
    return markdown_table(head, [names, *rows])


def samples_markdown(figures: RunFigures) -> str:
    """A heading for each prompt, with its flags, and a line for each sample and model, which wraps on a phone."""
    notes = {note.text: note for note in figures.prompts}
    lines = []
    for prompt, indices in samples_by_prompt(figures).items():
        lines += ["", f"#### {_prompt(prompt, notes.get(prompt))}", ""]
        for number, index in enumerate(indices, start=1):
            lines.append(f"{number}. seed {figures.samples[index].seed}")
            lines += [f"    - {LABELS[one.role]}: {_written(one)}" for one in figures.samples[index].written]
    return "\n".join(lines[1:]) + "\n"


def _prompt(prompt: str, note: PromptNote | None) -> str:
    flags = f" ({'; '.join(note.flags)})" if note and note.flags else ""
    return markdown_item(repr(prompt) + flags)


def _written(one: Sample) -> str:
    mark = f"**{one.mark}** " if one.mark else ""
    return mark + (markdown_item(one.text) if one.text else NOTHING)
