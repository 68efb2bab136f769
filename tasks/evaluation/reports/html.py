"""Report of a run: one HTML file that opens from disk, without a script and without the network.

What comes in: a `RunStory`, what is known of a run and of how it was made. What it leaves: a page, the verdict first,
that reads on a phone and on a desk, in light and in dark. All that comes from outside is escaped. The same story gives
the same bytes.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tasks.evaluation.corpus.figures import CorpusReport, Lengths
from tasks.evaluation.corpus.rows import histogram, sections
from tasks.evaluation.models.run_figures import RunFigures
from tasks.evaluation.reports import html_sections
from tasks.evaluation.reports.html_style import STYLE
from tasks.evaluation.reports.loss_plot import Entry, losses_svg
from tasks.evaluation.reports.markup import Html, join, tag, text
from tasks.units import duration

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


@dataclass(frozen=True)
class RunStory:
    """A run."""

    title: str
    """The release's name."""
    figures: RunFigures
    history: Sequence[Entry]
    """Entries of the training's history, as `losses` takes them."""
    floor_per_token: float | None
    corpus: CorpusReport
    parameters: Mapping[str, Mapping[str, Any]]
    """Group → parameter → value."""
    timings: Mapping[str, float]
    """Stage → seconds; the section is left out where there are none."""
    environment: Mapping[str, Any]
    """`git_commit`, `git_changed`, `python`, and `libraries` with their versions."""
    lineage: Sequence[tuple[str, str, str]]
    """Stage, what it left, and its digest, from the template to the release."""


def render(story: RunStory) -> str:
    """The page."""
    parts = {
        "verdict": ("Verdict", html_sections.verdict(story.figures)),
        "samples": ("Before and after", html_sections.samples(story.figures)),
        "metrics": ("Measures", html_sections.metrics(story.figures)),
        "losses": ("Losses", _losses(story)),
        "corpus": ("Corpus", _corpus(story.corpus)),
        "parameters": ("Parameters", _parameters(story.parameters)),
        "timings": ("Timings", _timings(story.timings)),
        "environment": ("Environment", _environment(story.environment)),
        "lineage": ("Lineage", _lineage(story.lineage)),
    }
    shown = {name: part for name, part in parts.items() if part[1]}
    links = [tag("a", heading, href=f"#{name}") for name, (heading, _) in shown.items()]
    header = tag("header", tag("p", "Spinneret, report of a run", class_="kicker"), tag("h1", story.title))
    main = [tag("section", tag("h2", heading), part, id=name) for name, (heading, part) in shown.items()]
    body = tag("body", header, tag("nav", *links, aria_label="Sections"), tag("main", *main))
    return f'<!doctype html>\n<html lang="en">{_head(story.title)}{body}</html>\n'


def _head(title: str) -> Html:
    return Html(
        '<head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark"><meta name="referrer" content="no-referrer">'
        f"<title>{text(title)}: report of a run</title><style>{STYLE}</style></head>\n"
    )


def _losses(story: RunStory) -> Html:
    """The curves, drawn for a desk and for a phone; the page shows one of them."""
    drawn = [
        tag(
            "div",
            Html(losses_svg(story.history, floor=story.floor_per_token, narrow=name == "narrow")),
            class_=name,
        )
        for name in ("wide", "narrow")
    ]
    if story.floor_per_token is None:
        said = "No loss floor is known."
    else:
        said = "The dashed line is the loss floor: no model can do better on fresh documents in the long run."
    return tag("figure", *drawn, tag("figcaption", said), class_="plot")


def _corpus(report: CorpusReport) -> Html:
    parts = []
    for title, rows in sections(report):
        if not rows:
            continue
        parts.append(tag("div", tag("h3", title), _rows([(name, value) for name, value in rows]), class_="card"))
        if title == "Length" and report.characters:
            parts += [
                _histogram("Characters a document", report.characters),
                _histogram("Words a document", report.words),
            ]
    return tag("div", *parts, class_="cards")


def _histogram(title: str, lengths: Lengths | None) -> Html:
    most = max([one.documents for one in lengths.bins], default=1) if lengths else 1
    bars = [
        (name, join(_bar(one.documents / most), tag("span", documents)))
        for (name, documents), one in zip(histogram(lengths), lengths.bins if lengths else (), strict=True)
    ]
    return tag("div", tag("h3", title), _rows(bars, class_="bars"), class_="card")


def _parameters(groups: Mapping[str, Mapping[str, Any]]) -> Html:
    cards = [
        tag("div", tag("h3", name), _rows([(one, _value(value)) for one, value in group.items()]), class_="card")
        for name, group in groups.items()
    ]
    return tag("div", *cards, class_="cards") if cards else Html()


def _value(value: Any) -> str:
    """A parameter as a person reads it."""
    if value is None:
        return tag("span", "not set", class_="none")
    if isinstance(value, list | tuple):
        return join(*map(_value, value)) if value else tag("span", "none", class_="none")
    written = isinstance(value, str) and value.strip() == value != ""
    return tag("code", value if written else json.dumps(value, ensure_ascii=False, default=str))


def _timings(timings: Mapping[str, float]) -> Html:
    if not timings:
        return Html()
    most, total = max(timings.values()) or 1, sum(timings.values())
    bars = [(stage, join(_bar(seconds / most), tag("span", duration(seconds)))) for stage, seconds in timings.items()]
    return join(_rows(bars, class_="bars"), tag("p", f"{duration(total)} in all.", class_="note"))


def _bar(share: float) -> Html:
    return tag("i", style=f"width: {100 * share:.1f}%")


def _environment(environment: Mapping[str, Any]) -> Html:
    changed = "and changes that were not committed" if environment.get("git_changed") else ""
    commit = environment.get("git_commit")
    rows = [
        ("git commit", join(tag("code", str(commit)), changed) if commit else "not known"),
        ("Python", str(environment.get("python", "not known"))),
        *((name, str(version)) for name, version in environment.get("libraries", {}).items()),
    ]
    return _rows(rows)


def _lineage(steps: Sequence[tuple[str, str, str]]) -> Html:
    items = [
        tag("li", tag("strong", stage), tag("span", what, class_="what"), tag("code", digest))
        for stage, what, digest in steps
    ]
    return tag("ol", *items, class_="lineage") if items else Html()


def _rows(rows: Sequence[tuple[str, str]], *, class_: str = "") -> Html:
    """Names and values."""
    return tag("dl", *(tag("div", tag("dt", name), tag("dd", value)) for name, value in rows), class_=f"rows {class_}")
