"""Sections of the report that are about the models: verdict, samples, measures.

What comes in: RunFigures. What it leaves: the markup of each section, without its heading.
"""

from tasks.evaluation.models.measures import (
    LABELS,
    all_metrics,
    by_prompt,
    headline_metrics,
    model_name,
    opponent_name,
    passes_gate,
    reasons,
)
from tasks.evaluation.models.run_figures import PromptNote, RunFigures, Sample
from tasks.evaluation.reports.markup import Html, join, table, tag, text

UNKNOWN = tag("span", "not known", class_="none")

MEANINGS = {
    "new": "a sentence of a template, and no training document",
    "copied": "a training document, to the letter",
    "invalid": "no sentence of a template",
}


def verdict(figures: RunFigures) -> Html:
    """The verdict in large, its reasons, and the few figures that say most."""
    promoted = figures.verdict.promote
    tone = "bad" if not promoted else "good" if passes_gate(figures) else "warn"
    return join(
        tag("p", "Promoted" if promoted else "Refused", class_=f"verdict {tone}"),
        tag("p", _said(figures), class_="lead"),
        tag("ul", *(tag("li", _sentence(reason)) for reason in reasons(figures)), class_="reasons"),
        _tiles(figures),
    )


def _sentence(words: str) -> str:
    return f"{words[:1].upper()}{words[1:]}."


def _said(figures: RunFigures) -> str:
    if figures.verdict.promote:
        return "The challenger becomes champion" + ("." if passes_gate(figures) else ", as the gate is off.")
    return _sentence(f"{opponent_name(figures)} stays") if figures.model("champion") else "There is no champion yet."


def _tiles(figures: RunFigures) -> Html:
    """A tile for each row of `headline_metrics`."""
    shown = []
    for row in headline_metrics(figures):
        values = [
            tag("div", tag("dt", LABELS[one.role]), tag("dd", _value(value)), class_=one.role)
            for one, value in zip(figures.models, row.values, strict=True)
        ]
        if row.floor:
            values.append(tag("div", tag("dt", "floor"), tag("dd", row.floor), class_="floor"))
        shown.append(tag("div", tag("h3", row.name), tag("dl", *values), class_="tile"))
    return tag("div", *shown, class_=f"tiles of{len(shown)}")


def _value(value: str) -> Html:
    """A figure, kept together with its unit."""
    return Html(text(value).replace(" %", "&nbsp;%")) if value else UNKNOWN


def samples(figures: RunFigures) -> Html:
    """A part for each prompt: its flags, and a row for each seed with a column for each model."""
    notes = {note.text: note for note in figures.prompts}
    parts = [_prompt(figures, prompt, places, notes.get(prompt)) for prompt, places in by_prompt(figures)]
    marked = {one.mark for row in figures.samples for one in row.written}
    meanings = [(mark, meaning) for mark, meaning in MEANINGS.items() if mark in marked]
    legend = tag("ul", *(tag("li", _mark(mark), " ", meaning) for mark, meaning in meanings), class_="legend")
    return join(legend if meanings else Html(), *parts) if parts else tag("p", "Nothing was asked.")


def _prompt(figures: RunFigures, prompt: str, places: list[int], note: PromptNote | None) -> Html:
    flags = [tag("li", flag) for flag in note.flags] if note else []
    labels = [LABELS[one.role] for one in figures.models]
    head = tag("div", *(tag("span", label) for label in labels), class_="columns head", aria_hidden="true")
    return tag(
        "article",
        tag("h3", tag("q", prompt, class_="text"), *([tag("small", note.source)] if note else [])),
        tag("ul", *flags, class_="flags") if flags else Html(),
        head,
        *(_row(figures, place) for place in places),
        class_="prompt",
        style=f"--models: {len(labels)}",
    )


def _row(figures: RunFigures, place: int) -> Html:
    written = figures.samples[place].written
    return tag("div", *map(_written, written), class_="columns")


def _written(one: Sample) -> Html:
    said = tag("p", one.text, class_="text", dir_="auto") if one.text else tag("p", "nothing", class_="none")
    caption = tag("figcaption", tag("span", LABELS[one.role], class_="who"), _mark(one.mark))
    return tag("figure", caption, said, class_=one.mark)


def _mark(mark: str) -> Html:
    return tag("span", mark, class_=f"mark {mark}") if mark else Html()


def metrics(figures: RunFigures) -> Html:
    """A row for each measure, a column for each model."""
    head = ("measure", *(LABELS[one.role] for one in figures.models))
    rows = [("model", *(tag("span", model_name(one), class_="text") for one in figures.models))]
    for row in all_metrics(figures):
        better = tag("small", f"{row.better} is better") if row.better else Html()
        rows.append((join(row.name, " ", better), *map(_value, row.values)))
    return table(head, rows, class_="measures")
