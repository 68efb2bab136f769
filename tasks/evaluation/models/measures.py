"""Measures: the figures of a run's models as rows of text, the same for the terminal, the UI and the report.

What comes in: RunFigures. What it leaves: rows with one value a model; a measure that no model has is left out. Every
number goes through `number` or `percent`, so no two places say different ones.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

from tasks.evaluation.models.memorization import WORDS
from tasks.evaluation.models.run_figures import ModelFigures, Role, RunFigures
from tasks.units import count, number, percent

Better = Literal["lower", "higher", ""]

LABELS: Mapping[Role, str] = {"base": "base model", "challenger": "challenger", "champion": "champion"}
"""What the models are called."""

DIGITS = 12
"""Of a sha256 that stands for a release in a text."""


class Metric(NamedTuple):
    """One row."""

    name: str
    better: Better
    """Which values are better; empty where that cannot be said."""
    values: tuple[str, ...]
    """In the order of the models; empty where it is not known of one."""


class HeadlineMetric(NamedTuple):
    """One row of the few that say most, with the loss floor beside the models."""

    name: str
    values: tuple[str, ...]
    floor: str
    """Empty where the measure has none."""


def all_metrics(figures: RunFigures) -> list[Metric]:
    """All measures that a model has."""
    rows = [Metric(name, better, _values(read, figures)) for name, better, read in _MEASURES]
    return [row for row in rows if any(row.values)]


def headline_metrics(figures: RunFigures) -> list[HeadlineMetric]:
    """Losses, validity and novelty."""
    rows = [
        HeadlineMetric(
            "loss, nats a token", _values(lambda one: _known(one.losses.loss), figures), _floor_per_token(figures)
        ),
        HeadlineMetric(
            "loss, nats a document", _values(_document, figures), "" if figures.floor is None else number(figures.floor)
        ),
        HeadlineMetric("valid", _values(_valid, figures), ""),
        HeadlineMetric("valid and new", _values(_valid_new, figures), ""),
        HeadlineMetric("copied to the letter", _values(_verbatim, figures), ""),
    ]
    return [row for row in rows if any(row.values)]


def model_name(one: ModelFigures) -> str:
    """The model's name; of a champion, which is named by its digest, the first digits."""
    return one.name[:DIGITS] if one.role == "champion" else one.name


def opponent_name(figures: RunFigures) -> str:
    """Whom the challenger was compared with, short enough for a sentence."""
    champion = figures.model("champion")
    return f"the champion {model_name(champion)}" if champion else "the base model"


def reasons(figures: RunFigures) -> list[str]:
    """The reasons of the verdict, a champion's digest in them cut to its first digits."""
    opponent = figures.verdict.opponent
    short = opponent[:DIGITS] if figures.model("champion") else opponent
    return [one.replace(opponent, short) for one in figures.verdict.reasons]


def passes_gate(figures: RunFigures) -> bool:
    """Whether comparison and guards promote the challenger, whatever the gate was told."""
    return figures.verdict.comparison.wins and all(guard.passed for guard in figures.verdict.guards)


def by_prompt(figures: RunFigures) -> Iterator[tuple[str, list[int]]]:
    """Each prompt with the places of its samples, in the order of the samples."""
    places: dict[str, list[int]] = {}
    for place, row in enumerate(figures.samples):
        places.setdefault(row.prompt, []).append(place)
    yield from places.items()


def _values(read: Callable[[ModelFigures], str], figures: RunFigures) -> tuple[str, ...]:
    return tuple(read(one) for one in figures.models)


def _floor_per_token(figures: RunFigures) -> str:
    """On the documents that were measured, in the tokens of the challenger."""
    challenger = figures.model("challenger")
    if figures.floor is None or challenger is None:
        return ""
    return number(figures.floor * challenger.losses.documents / challenger.losses.tokens)


def _known(loss: float | None) -> str:
    return "not finite" if loss is None else number(loss)


def _loss(one: ModelFigures) -> str:
    losses = one.losses
    interval = "" if losses.low is None else f" ({number(losses.low)} to {number(losses.high)})"
    return _known(losses.loss) + interval


def _document(one: ModelFigures) -> str:
    return _known(one.losses.nats_per_document)


def _valid(one: ModelFigures) -> str:
    return _of(one.novelty.valid, one.novelty.samples)


def _valid_new(one: ModelFigures) -> str:
    return _of(one.novelty.valid_new, one.novelty.samples)


def _verbatim(one: ModelFigures) -> str:
    return _of(one.novelty.verbatim, one.novelty.samples)


def _options(one: ModelFigures) -> str:
    variety = one.variety
    return _of(variety.seen, variety.options) if variety and variety.options else ""


def _entropy(one: ModelFigures) -> str:
    variety = one.variety
    if variety is None or variety.smallest_normalised is None:
        return ""
    return f"{number(variety.smallest_normalised)}, {_number(variety.mean_normalised)}"


def _span(one: ModelFigures) -> str:
    return count(one.copying.longest.words, "word")


def _ngrams(one: ModelFigures) -> str:
    return _of(one.copying.copied, one.copying.ngrams)


def _of(part: int | None, whole: int) -> str:
    if part is None or not whole:
        return ""
    return f"{number(part)} of {number(whole)} ({percent(part / whole)})"


def _number(value: float | None) -> str:
    return "" if value is None else number(value)


def _percent(share: float | None) -> str:
    return "" if share is None else percent(share)


_MEASURES: Sequence[tuple[str, Better, Callable[[ModelFigures], str]]] = (
    ("held-out loss in nats a token, with its 95 % interval", "lower", _loss),
    ("perplexity", "lower", lambda one: _number(one.losses.perplexity)),
    ("nats a document", "lower", _document),
    ("nats a document above the floor", "lower", lambda one: _number(one.losses.above_floor)),
    ("valid", "higher", _valid),
    ("valid and new", "higher", _valid_new),
    ("training documents to the letter", "", _verbatim),
    ("options covered", "higher", _options),
    ("entropy against the template's, smallest and mean of the slots", "higher", _entropy),
    ("longest copied span", "", _span),
    (f"runs of {WORDS} words that are copied", "", _ngrams),
    ("distinct-1", "higher", lambda one: _percent(one.copying.distinct_1)),
    ("distinct-2", "higher", lambda one: _percent(one.copying.distinct_2)),
    ("repetition", "lower", lambda one: _percent(one.copying.repetition)),
)
