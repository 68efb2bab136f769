"""The HTML report of a run: one file that opens from disk, without scripts and network access."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from tasks.evaluation.corpus.figures import CorpusReport, Lengths
from tasks.evaluation.corpus.rows import Row, histogram, sections
from tasks.evaluation.models.measures import (
    LABELS,
    all_metrics,
    headline_metrics,
    model_name,
    opponent_name,
    passes_gate,
    reasons,
    samples_by_prompt,
)
from tasks.evaluation.models.run_figures import RunFigures
from tasks.evaluation.reports.loss_plot import Entry, plot_losses_svg
from tasks.evaluation.text import one_line
from tasks.units import duration

MEANINGS = {
    "new": "a sentence of a template that is not in the training documents",
    "copied": "a training document, verbatim",
    "invalid": "not a sentence of a template",
}


@dataclass(frozen=True)
class ReportData:
    """Everything that the report of a run shows."""

    title: str
    """The release's name."""
    figures: RunFigures
    history: Sequence[Entry]
    """Entries of the training's history, as `loss_plot` takes them."""
    floor_per_token: float | None
    corpus: CorpusReport
    parameters: Mapping[str, Mapping[str, Any]]
    """Group → parameter → value."""
    timings: Mapping[str, float]
    """Stage → seconds; the section is left out where there are none."""
    environment: Mapping[str, Any]
    """`git_commit`, `git_changed`, `python`, and `libraries` with their versions."""
    lineage: Sequence[tuple[str, str, str]]
    """Stage, description and digest, from the template to the release."""


class Bar(NamedTuple):
    """A bar of a bar chart."""

    name: str
    share: float
    """Of the longest bar."""
    label: str


class Card(NamedTuple):
    """A card of the corpus section, with rows or bars."""

    title: str
    rows: Sequence[Row] = ()
    bars: Sequence[Bar] = ()


def render_html(data: ReportData) -> str:
    """The page; equal data gives equal bytes."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    folder = Path(__file__).parent
    jinja = Environment(
        loader=FileSystemLoader(folder), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        finalize=lambda value: value if isinstance(value, Markup) else _printable(str(value)),
    )  # fmt: skip
    jinja.filters |= {"as_code": _as_code, "model_name": model_name, "sentence": _sentence}
    figures, history, floor = data.figures, data.history, data.floor_per_token
    return jinja.get_template("report.html.j2").render(
        data=data,
        css=Markup((folder / "report.css").read_text(encoding="utf-8")),  # noqa: S704 our own file
        figures=figures,
        labels=LABELS,
        tone="bad" if not figures.verdict.promote else "good" if passes_gate(figures) else "warn",
        outcome=_outcome(figures),
        reasons=reasons(figures),
        headline_metrics=headline_metrics(figures),
        metrics=all_metrics(figures),
        legend=_legend(figures),
        prompts=_prompts(figures),
        wide_plot=Markup(plot_losses_svg(history, floor=floor)),  # noqa: S704 drawn by matplotlib from numbers
        narrow_plot=Markup(plot_losses_svg(history, floor=floor, narrow=True)),  # noqa: S704
        corpus=_corpus_cards(data.corpus),
        timings=_timing_bars(data.timings),
        total_time=duration(sum(data.timings.values())),
        environment={"git_commit": None, "git_changed": None, "python": "unknown", "libraries": {}, **data.environment},
    )


def _printable(text: str) -> str:
    """Lines of printable characters: a control character can neither hide nor reverse the text beside it."""
    return "\n".join(map(one_line, text.split("\n")))


def _as_code(value: Any) -> str:
    plain = isinstance(value, str) and value.strip() == value != ""
    return value if plain else json.dumps(value, ensure_ascii=False, default=str)


def _sentence(words: str) -> str:
    return f"{words[:1].upper()}{words[1:]}."


def _outcome(figures: RunFigures) -> str:
    if figures.verdict.promote:
        return "The challenger becomes champion" + ("." if passes_gate(figures) else ", as the gate is off.")
    return _sentence(f"{opponent_name(figures)} stays") if figures.model("champion") else "There is no champion yet."


def _legend(figures: RunFigures) -> list[tuple[str, str]]:
    """The marks that samples of this run have, and what they mean."""
    marks = {one.mark for row in figures.samples for one in row.written}
    return [(mark, meaning) for mark, meaning in MEANINGS.items() if mark in marks]


def _prompts(figures: RunFigures) -> list[tuple[Any, ...]]:
    """Each prompt with its note and its samples."""
    notes = {note.text: note for note in figures.prompts}
    return [
        (prompt, notes.get(prompt), [figures.samples[index] for index in indices])
        for prompt, indices in samples_by_prompt(figures).items()
    ]


def _corpus_cards(report: CorpusReport) -> list[Card]:
    cards = []
    for title, rows in sections(report):
        if rows:
            cards.append(Card(title, rows=rows))
        if title == "Length" and report.characters:
            cards += [
                Card("Characters per document", bars=_length_bars(report.characters)),
                Card("Words per document", bars=_length_bars(report.words)),
            ]
    return cards


def _length_bars(lengths: Lengths | None) -> list[Bar]:
    bins = lengths.bins if lengths else ()
    most = max([one.documents for one in bins], default=1)
    rows = zip(histogram(lengths), bins, strict=True)
    return [Bar(name, one.documents / most, documents) for (name, documents), one in rows]


def _timing_bars(timings: Mapping[str, float]) -> list[Bar]:
    longest = max(timings.values(), default=0) or 1
    return [Bar(stage, seconds / longest, duration(seconds)) for stage, seconds in timings.items()]
