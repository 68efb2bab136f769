"""Variety: does the model still take all options of each slot, or only its favourites (mode collapse)?

What comes in: samples (prompt and text together) and templates. What it leaves: for each slot the options that the
valid samples take, and the entropy of what they take, H = -sum p ln p (Shannon 1948), beside that of the template.
Options that read the same in a slot count once. A sample that belongs to several templates counts for each of them.

Entropy measured on few samples is too low even where the model is perfect, by about (k - 1) / 2n for k options and n
samples (Miller 1955, "Note on the bias of information estimates", and Madow): `entropy_expected` is what n ideal draws
would show, and what a reader should hold `entropy` against.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from math import log
from statistics import fmean

from tasks.evaluation.figures import Count, Figures, Share, UserText
from tasks.spintax import Template


class SlotVariety(Figures):
    """One slot; entropies in nats. All but the counts is None where no sample is valid."""

    slot: Count
    """From 1."""
    options: Count
    seen: Count
    entropy: float | None
    entropy_template: float
    """Of a template's derivations, each equally likely: ln(options) where each option has equally many."""
    entropy_expected: float | None
    """What so many ideal draws show on average, to first order; never below 0."""
    normalised: float | None
    """entropy / entropy_template: 1 as varied as the template, 0 always the same; above 1 where the model is more even
    than a template whose options are not equally likely. None where the slot has one option."""


class TemplateVariety(Figures):
    """One template, `name:line`."""

    template: UserText
    samples: Count
    """Samples that belong to it."""
    slots: tuple[SlotVariety, ...]


class Variety(Figures):
    """All templates together."""

    options: Count
    seen: Count
    coverage: Share | None
    """seen / options; None where the templates have no slot."""
    smallest_normalised: float | None
    """Of the slots that have one; None where none has."""
    mean_normalised: float | None
    templates: tuple[TemplateVariety, ...]


def measure_variety(samples: Iterable[str], templates: Sequence[Template]) -> Variety | None:
    """Count what the valid samples take, the others do not count; None without templates.

    Exact where a template's derivations are distinct; else the lowest derivation of a text is taken for the one meant.
    """
    if not templates:
        return None
    taken: list[Counter[tuple[int, ...]]] = [Counter() for _ in templates]
    for sample in samples:
        for template, counter in zip(templates, taken, strict=True):
            choices = template.choices_of(sample)
            if choices is not None:
                counter[choices] += 1
    return _together([_template_variety(*pair) for pair in zip(templates, taken, strict=True)])


def entropy(shares: Iterable[float]) -> float:
    """Nats of a distribution (Shannon 1948): -sum p ln p, where 0 ln 0 is 0."""
    return sum((-share * log(share) for share in shares if share > 0), 0.0)


def expected_entropy(true_entropy: float, options: int, draws: int) -> float:
    """Mean entropy measured on so many draws, to first order (Miller-Madow), in nats and at least 0."""
    return max(0.0, true_entropy - (options - 1) / (2 * draws))


def _template_variety(template: Template, taken: Counter[tuple[int, ...]]) -> TemplateVariety:
    return TemplateVariety(
        template=f"{template.name}:{template.line}",
        samples=taken.total(),
        slots=tuple(
            _slot_variety(place, weights, counts)
            for place, (weights, counts) in enumerate(_slots(template, taken), start=1)
        ),
    )


def _slots(template: Template, taken: Counter[tuple[int, ...]]) -> Iterator[tuple[list[Fraction], list[int]]]:
    """For each slot the shares of its distinct options in the template, and how many samples take them."""
    for slot, (labels, weights) in enumerate(zip(template.slots, template.slot_weights, strict=True)):
        shares = dict.fromkeys(labels, Fraction(0))
        for label, weight in zip(labels, weights, strict=True):
            shares[label] += weight
        counts = dict.fromkeys(labels, 0)
        for choices, samples in taken.items():
            counts[labels[choices[slot]]] += samples
        yield list(shares.values()), list(counts.values())


def _slot_variety(place: int, weights: Sequence[Fraction], counts: Sequence[int]) -> SlotVariety:
    samples, of_template = sum(counts), entropy(map(float, weights))
    measured = entropy(count / samples for count in counts) if samples else None
    return SlotVariety(
        slot=place,
        options=len(counts),
        seen=sum(count > 0 for count in counts),
        entropy=measured,
        entropy_template=of_template,
        entropy_expected=expected_entropy(of_template, len(counts), samples) if samples else None,
        normalised=measured / of_template if measured is not None and of_template else None,
    )


def _together(templates: Sequence[TemplateVariety]) -> Variety:
    slots = [slot for template in templates for slot in template.slots]
    options, seen = sum(slot.options for slot in slots), sum(slot.seen for slot in slots)
    normalised = [slot.normalised for slot in slots if slot.normalised is not None]
    return Variety(
        options=options,
        seen=seen,
        coverage=seen / options if options else None,
        smallest_normalised=min(normalised, default=None),
        mean_normalised=fmean(normalised) if normalised else None,
        templates=tuple(templates),
    )
