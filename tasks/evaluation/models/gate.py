"""The gate: may the challenger become the champion?

What comes in: the paired comparison with the present champion (or, of a first release, with the base model) on the same
held-out documents, the guards that are set, and what was measured of the challenger. What it leaves: a verdict with its
reasons, JSON-able. To refuse is an answer and no error.

The challenger is promoted where it is better by more than noise, the whole 95 % interval of the difference below 0, and
passes each guard that is set. A tie, a loss that is not finite and a guard that cannot be measured do not promote.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import isfinite
from typing import Annotated, Literal

from pydantic import Field

from tasks.evaluation.figures import Figures, Share, UserText
from tasks.evaluation.models.bootstrap import PairedComparison
from tasks.units import number, percent

BASE_MODEL = "base model"
"""The opponent of a first release."""

FEW = 6
"""With fewer documents the interval is too narrow: equal models win all of 5 documents with a probability of 1/32."""

Gate = Literal["on", "off"]


class Guards(Figures):
    """Limits that a challenger must keep, themselves included; None is not set."""

    max_loss: Annotated[float, Field(ge=0)] | None = None
    """Held-out loss, in nats a token."""
    min_valid: Share | None = None
    """Share of the samples that are valid."""
    max_copied: Share | None = None
    max_repetition: Share | None = None


@dataclass(frozen=True)
class Measured:
    """What was measured of the challenger; None is not known, and a loss may be infinite or NaN."""

    loss: float | None = None
    """Nats a token."""
    valid: float | None = None
    copied: float | None = None
    repetition: float | None = None


class Guard(Figures):
    """One guard that is set, and what it said; `value` is None where it is not known or not finite."""

    name: str
    limit: float
    value: float | None
    passed: bool


class Verdict(Figures):
    """Whether the challenger is promoted, and why."""

    promote: bool
    opponent: UserText
    """"base model", or the champion's version."""
    reasons: tuple[str, ...]
    """Sentences with figures: the comparison, then the guards that were failed, of a promotion those that were passed.
    Where the gate is off, that first and then what would have been said."""
    comparison: PairedComparison
    guards: tuple[Guard, ...]


def decide(
    comparison: PairedComparison,
    *,
    opponent: str = BASE_MODEL,
    guards: Guards,
    measured: Measured,
    gate: Gate = "on",
) -> Verdict:
    """Decide on the challenger; gate="off" promotes whatever was measured, and says so."""
    checked = tuple(_check(guards, measured))
    finite = comparison.difference is not None and (measured.loss is None or isfinite(measured.loss))
    passed = finite and comparison.wins and all(guard.passed for guard in checked)
    reasons = [_compare(comparison, _name(opponent)), *_caution(comparison)]
    if comparison.difference is not None and not finite:
        reasons.append("the challenger's held-out loss is not finite")
    reasons += [_say(guard) for guard in checked if guard.passed == passed]
    if gate == "off":
        otherwise = "would promote it, too" if passed else "would refuse it"
        reasons.insert(0, f"the gate is off, so the challenger is promoted; on, it {otherwise}")
    return Verdict(
        promote=passed or gate == "off",
        opponent=opponent,
        reasons=tuple(reasons),
        comparison=comparison,
        guards=checked,
    )


def _check(guards: Guards, measured: Measured) -> Iterator[Guard]:
    for name, limit, value in (
        ("max_loss", guards.max_loss, measured.loss),
        ("min_valid", guards.min_valid, measured.valid),
        ("max_copied", guards.max_copied, measured.copied),
        ("max_repetition", guards.max_repetition, measured.repetition),
    ):
        if limit is not None:
            known = value if value is not None and isfinite(value) else None
            passed = known is not None and (known >= limit if name.startswith("min") else known <= limit)
            yield Guard(name=name, limit=limit, value=known, passed=passed)


_MEASURES = {
    "max_loss": "the held-out loss in nats a token",
    "min_valid": "the share of valid samples",
    "max_copied": "the share that is copied from the training documents",
    "max_repetition": "the share that is repeated",
}


def _say(guard: Guard) -> str:
    measure, write = _MEASURES[guard.name], number if guard.name == "max_loss" else percent
    if guard.value is None:
        return f"{measure} cannot be measured here, and {guard.name} is set to {write(guard.limit)}"
    if guard.passed:
        return f"{measure} is {write(guard.value)}, within {guard.name} = {write(guard.limit)}"
    side = "under" if guard.name == "min_valid" else "over"
    return f"{measure} is {write(guard.value)}, {side} {guard.name} = {write(guard.limit)}"


def _name(opponent: str) -> str:
    return "the base model" if opponent == BASE_MODEL else f"the champion {opponent}"


def _compare(comparison: PairedComparison, opponent: str) -> str:
    if comparison.difference is None:
        broken = "the challenger's" if comparison.challenger is None else f"{opponent}'s"
        return f"{broken} held-out loss is not finite, so it cannot be compared"
    figures = f"{_signed(comparison.difference)} nats a document on {number(comparison.documents)} held-out documents"
    if comparison.low is None or comparison.high is None or comparison.better_share is None:
        return (
            "one held-out document has no interval, so no difference is more than noise: "
            f"{_signed(comparison.difference)} nats against {opponent}"
        )
    figures += f" (95 % interval {_signed(comparison.low)} to {_signed(comparison.high)}"
    figures += f", better in {percent(comparison.better_share)} of {number(comparison.resamples)} resamples)"
    if comparison.wins:
        return f"the challenger beats {opponent}: {figures}"
    if comparison.low > 0:
        return f"the challenger is worse than {opponent}: {figures}"
    tie = "has the same loss as" if comparison.low == comparison.high == 0 else "is not better by more than noise than"
    return f"the challenger {tie} {opponent}: {figures}"


def _caution(comparison: PairedComparison) -> list[str]:
    few = comparison.high is not None and comparison.documents < FEW
    return [f"{comparison.documents} held-out documents are few: the interval is narrower than it should be"] * few


def _signed(value: float) -> str:
    return f"{value:+,.4g}" if value else "0"
