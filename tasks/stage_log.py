"""Stage log: the line of a stage in a run's log, told once.

What comes in: a stage's kind of reference, its key and how it is made. What it leaves: the reference, and one line:
`corpus: 6,000 documents ... [0.3 s]` where it was made, `corpus: cached, 6,000 documents ...` where it was there. A
stage that is asked for once more in the same run is not told again.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from tasks.folders import Facts, read_timing
from tasks.logs import STORY
from tasks.references import Base, Reference
from tasks.units import duration

R = TypeVar("R", bound=Reference)

_NOUNS = {"base": "base model", "heldout": "held out"}
"""Stages that are called otherwise than their folder."""


def make_and_tell(kind: type[R], key: str, fill: Callable[[Path], Facts], *, model: str | None = None) -> R:
    """The reference of `key`, found or made by `fill`, and its line; `model` is the name of the model it is about."""
    found = kind.find(key)
    made = found or kind.make(key, fill)
    if STORY.first((kind.stage, key)):
        print(cached_line(made, model) if found else f"{_line(made, model)} [{duration(read_timing(made.folder))}]")
    return made


def cached_line(made: Reference, model: str | None) -> str:
    """What is told of a stage that was there already."""
    return _line(made, model, "cached, ")


def _line(made: Reference, model: str | None, cached: str = "") -> str:
    name, described = _NOUNS.get(made.stage, made.stage), made.describe()
    if model is not None:
        described = f"{model}, {described}" if isinstance(made, Base) else f"{described}, by {model}"
    return f"{name}: {cached}{described}"
