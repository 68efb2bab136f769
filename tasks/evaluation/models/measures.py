"""The metrics of a comparison as rows of text, shared by the terminal, the UI and the HTML report."""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, NamedTuple

from tasks.evaluation.models.memorization import WORDS
from tasks.evaluation.models.run_figures import ModelFigures, Role, RunFigures
from tasks.units import count, number, percent

Better = Literal["lower", "higher", ""]

LABELS: Mapping[Role, str] = {"base": "base model", "challenger": "challenger", "champion": "champion"}
"""Names of the roles in tables."""

DIGITS = 12
"""Digits of a sha256 that identify a release in a text."""


class Metric(NamedTuple):
    """One row."""

    name: str
    better: Better
    """Which values are better; empty if that depends."""
    values: tuple[str, ...]
    """One per model; empty if it is not known."""


class HeadlineMetric(NamedTuple):
    """One of the few most important rows, with the loss floor beside the models."""

    name: str
    values: tuple[str, ...]
    floor: str
    """Empty if the metric has none."""


def all_metrics(figures: RunFigures) -> list[Metric]:
    """All metrics that at least one model has."""
    rows = [Metric(name, better, tuple(map(read, figures.models))) for name, better, read in _METRICS]
    return [row for row in rows if any(row.values)]


def headline_metrics(figures: RunFigures) -> list[HeadlineMetric]:
    """Losses, validity and novelty."""
    floor = "" if figures.floor is None else number(figures.floor)
    rows: Sequence[tuple[str, Callable[[ModelFigures], str], str]] = (
        ("loss, nats per token", lambda one: _finite(one.losses.loss), _floor_per_token(figures)),
        ("loss, nats per document", lambda one: _finite(one.losses.nats_per_document), floor),
        ("valid", _valid, ""),
        ("valid and new", _valid_new, ""),
        ("copied verbatim", _verbatim, ""),
    )
    metrics = [HeadlineMetric(name, tuple(map(read, figures.models)), floor) for name, read, floor in rows]
    return [metric for metric in metrics if any(metric.values)]


def model_name(one: ModelFigures) -> str:
    """The name of the model; for a champion, the first digits of its digest."""
    return one.name[:DIGITS] if one.role == "champion" else one.name


def opponent_name(figures: RunFigures) -> str:
    """The opponent of the challenger, short enough for a sentence."""
    champion = figures.model("champion")
    return f"the champion {model_name(champion)}" if champion else "the base model"


def reasons(figures: RunFigures) -> list[str]:
    """The reasons of the verdict, with the digest of a champion cut to its first digits."""
    opponent = figures.verdict.opponent
    short = opponent[:DIGITS] if figures.model("champion") else opponent
    return [one.replace(opponent, short) for one in figures.verdict.reasons]


def passes_gate(figures: RunFigures) -> bool:
    """Whether comparison and guards promote the challenger, even if the gate is off."""
    return figures.verdict.comparison.wins and all(guard.passed for guard in figures.verdict.guards)


def samples_by_prompt(figures: RunFigures) -> dict[str, list[int]]:
    """Prompt → indices of its samples, in the order of the samples."""
    indices: dict[str, list[int]] = {}
    for index, row in enumerate(figures.samples):
        indices.setdefault(row.prompt, []).append(index)
    return indices


def _floor_per_token(figures: RunFigures) -> str:
    """The floor on the measured documents, in tokens of the challenger."""
    challenger = figures.model("challenger")
    if figures.floor is None or challenger is None:
        return ""
    return number(figures.floor * challenger.losses.documents / challenger.losses.tokens)


def _finite(loss: float | None) -> str:
    return "not finite" if loss is None else number(loss)


def _loss(one: ModelFigures) -> str:
    losses = one.losses
    interval = "" if losses.low is None else f" ({number(losses.low)} to {number(losses.high)})"
    return _finite(losses.loss) + interval


def _valid(one: ModelFigures) -> str:
    return _part(one.novelty.valid, one.novelty.samples)


def _valid_new(one: ModelFigures) -> str:
    return _part(one.novelty.valid_new, one.novelty.samples)


def _verbatim(one: ModelFigures) -> str:
    return _part(one.novelty.verbatim, one.novelty.samples)


def _entropy(one: ModelFigures) -> str:
    variety = one.variety
    if variety is None or variety.smallest_normalised is None:
        return ""
    return f"{number(variety.smallest_normalised)}, {_number(variety.mean_normalised)}"


def _part(part: int | None, whole: int) -> str:
    if part is None or not whole:
        return ""
    return f"{number(part)} of {number(whole)} ({percent(part / whole)})"


def _number(value: float | None) -> str:
    return "" if value is None else number(value)


def _percent(share: float | None) -> str:
    return "" if share is None else percent(share)


_METRICS: Sequence[tuple[str, Better, Callable[[ModelFigures], str]]] = (
    ("held-out loss in nats per token, with its 95 % interval", "lower", _loss),
    ("perplexity", "lower", lambda one: _number(one.losses.perplexity)),
    ("nats per document", "lower", lambda one: _finite(one.losses.nats_per_document)),
    ("nats per document above the floor", "lower", lambda one: _number(one.losses.above_floor)),
    ("valid", "higher", _valid),
    ("valid and new", "higher", _valid_new),
    ("verbatim training documents", "", _verbatim),
    ("options covered", "higher", lambda one: _part(one.variety.seen, one.variety.options) if one.variety else ""),
    ("entropy relative to the template, minimum and mean of the slots", "higher", _entropy),
    ("longest copied span", "", lambda one: count(one.copying.longest.words, "word")),
    (f"copied runs of {WORDS} words", "", lambda one: _part(one.copying.copied, one.copying.ngrams)),
    ("distinct-1", "higher", lambda one: _percent(one.copying.distinct_1)),
    ("distinct-2", "higher", lambda one: _percent(one.copying.distinct_2)),
    ("repetition", "lower", lambda one: _percent(one.copying.repetition)),
)
