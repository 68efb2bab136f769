"""The gate: decide whether the challenger becomes the champion.

The challenger is promoted if it is better by more than noise than the champion (or, for a first release, than the base
model) on the same held-out documents, which means that the whole 95 % interval of the difference is below 0, and if it
passes every guard that is set. A tie, a loss that is not finite and a guard that cannot be measured do not promote. A
refusal is a result, not an error.
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

FEW_DOCUMENTS = 6
"""With fewer documents the interval is too narrow: equal models win on all of 5 documents with probability 1/32."""

Gate = Literal["on", "off"]


class Guards(Figures):
    """Limits for the challenger, inclusive; None if not set."""

    max_loss: Annotated[float, Field(ge=0)] | None = None
    """Held-out loss in nats per token."""
    min_valid: Share | None = None
    """Share of valid samples."""
    max_copied: Share | None = None
    max_repetition: Share | None = None


@dataclass(frozen=True)
class Measured:
    """Measurements of the challenger; None if not known. The loss may be infinite or NaN."""

    loss: float | None = None
    """Nats per token."""
    valid: float | None = None
    copied: float | None = None
    repetition: float | None = None


class Guard(Figures):
    """The result of one guard; `value` is None if it is not known or not finite."""

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
    """Sentences with figures: the comparison, then the failed guards, or, for a promotion, the passed ones. If the gate
    is off, the first sentence says so."""
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
    """Decide on the challenger; gate="off" always promotes, and the reasons say so."""
    checked = tuple(_check_guards(guards, measured))
    finite = comparison.difference is not None and (measured.loss is None or isfinite(measured.loss))
    passed = finite and comparison.wins and all(guard.passed for guard in checked)
    reasons = [_compare(comparison, _name(opponent)), *_caution(comparison)]
    if comparison.difference is not None and not finite:
        reasons.append("the challenger's held-out loss is not finite")
    reasons += [_describe(guard) for guard in checked if guard.passed == passed]
    if gate == "off":
        otherwise = "would promote it, too" if passed else "would refuse it"
        reasons.insert(0, f"the gate is off, so the challenger is promoted; if it were on, it {otherwise}")
    return Verdict(
        promote=passed or gate == "off",
        opponent=opponent,
        reasons=tuple(reasons),
        comparison=comparison,
        guards=checked,
    )


def _check_guards(guards: Guards, measured: Measured) -> Iterator[Guard]:
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
    "max_loss": "the held-out loss in nats per token",
    "min_valid": "the share of valid samples",
    "max_copied": "the share that is copied from the training documents",
    "max_repetition": "the share that is repeated",
}


def _describe(guard: Guard) -> str:
    measure, write = _MEASURES[guard.name], number if guard.name == "max_loss" else percent
    if guard.value is None:
        return f"{measure} cannot be measured here, and {guard.name} is set to {write(guard.limit)}"
    if guard.passed:
        return f"{measure} is {write(guard.value)}, within {guard.name} = {write(guard.limit)}"
    side = "below" if guard.name == "min_valid" else "above"
    return f"{measure} is {write(guard.value)}, {side} {guard.name} = {write(guard.limit)}"


def _name(opponent: str) -> str:
    return "the base model" if opponent == BASE_MODEL else f"the champion {opponent}"


def _compare(comparison: PairedComparison, opponent: str) -> str:
    if comparison.difference is None:
        infinite = "the challenger's" if comparison.challenger is None else f"{opponent}'s"
        return f"{infinite} held-out loss is not finite, so it cannot be compared"
    figures = f"{_signed(comparison.difference)} nats per document on {number(comparison.documents)} held-out documents"
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
    if comparison.high is None or comparison.documents >= FEW_DOCUMENTS:
        return []
    return [f"{comparison.documents} held-out documents are few: the interval is narrower than it should be"]


def _signed(value: float) -> str:
    return f"{value:+,.4g}" if value else "0"
