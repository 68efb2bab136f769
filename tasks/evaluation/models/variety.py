"""Measure how evenly the samples use the options of each slot, to detect mode collapse.

A sample is prompt and text together. Equal options of a slot count once. A sample that belongs to several templates
counts for each of them. The entropy of the options that the valid samples use is H = -sum p ln p (Shannon 1948).

Measured on few samples, entropy is too low even for a perfect model, by about (k - 1) / 2n for k options and n samples
(Miller 1955, "Note on the bias of information estimates", and Madow): `entropy_expected` is the value of n ideal draws,
to compare `entropy` with.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from math import log
from statistics import fmean

from tasks.evaluation.figures import Count, Figures, Share, UserText
from tasks.spintax import Template


class SlotVariety(Figures):
    """One slot; entropies in nats. All but the counts are None if no sample is valid."""

    slot: Count
    """From 1."""
    options: Count
    seen: Count
    entropy: float | None
    entropy_template: float
    """Entropy over the derivations of the template, equally likely: ln(options) if all options have equally many."""
    entropy_expected: float | None
    """Mean entropy of as many ideal draws, to first order; never below 0."""
    normalised: float | None
    """entropy / entropy_template: 1 if as varied as the template, 0 if always the same; above 1 if the model is more
    even than a template whose options are not equally likely. None if the slot has one option."""


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
    """seen / options; None if the templates have no slot."""
    smallest_normalised: float | None
    """Minimum over the slots that have one; None if none has."""
    mean_normalised: float | None
    templates: tuple[TemplateVariety, ...]


def measure_variety(samples: Iterable[str], templates: Sequence[Template]) -> Variety | None:
    """Count the options that the valid samples use; None without templates.

    Exact if the derivations of a template are distinct; otherwise a text counts as its first derivation.
    """
    if not templates:
        return None
    taken: list[Counter[tuple[int, ...]]] = [Counter() for _ in templates]
    for sample in samples:
        for template, counter in zip(templates, taken, strict=True):
            choices = template.choices_of(sample)
            if choices is not None:
                counter[choices] += 1
    return _combine([_template_variety(*pair) for pair in zip(templates, taken, strict=True)])


def entropy(shares: Iterable[float]) -> float:
    """Entropy of a distribution in nats (Shannon 1948): -sum p ln p, where 0 ln 0 is 0."""
    return sum((-share * log(share) for share in shares if share > 0), 0.0)


def expected_entropy(true_entropy: float, options: int, draws: int) -> float:
    """Mean entropy of that many draws, to first order (Miller-Madow), in nats and at least 0."""
    return max(0.0, true_entropy - (options - 1) / (2 * draws))


def _template_variety(template: Template, taken: Counter[tuple[int, ...]]) -> TemplateVariety:
    return TemplateVariety(
        template=f"{template.name}:{template.line}",
        samples=taken.total(),
        slots=tuple(
            _slot_variety(slot, weights, counts)
            for slot, (weights, counts) in enumerate(_slots(template, taken), start=1)
        ),
    )


def _slots(template: Template, taken: Counter[tuple[int, ...]]) -> Iterator[tuple[list[Fraction], list[int]]]:
    """For each slot, the shares of its distinct options in the template, and the number of samples that use them."""
    for slot, (labels, weights) in enumerate(zip(template.slots, template.slot_weights, strict=True)):
        shares = dict.fromkeys(labels, Fraction(0))
        for label, weight in zip(labels, weights, strict=True):
            shares[label] += weight
        counts = dict.fromkeys(labels, 0)
        for choices, samples in taken.items():
            counts[labels[choices[slot]]] += samples
        yield list(shares.values()), list(counts.values())


def _slot_variety(slot: int, weights: Sequence[Fraction], counts: Sequence[int]) -> SlotVariety:
    samples, of_template = sum(counts), entropy(map(float, weights))
    measured = entropy(count / samples for count in counts) if samples else None
    return SlotVariety(
        slot=slot,
        options=len(counts),
        seen=sum(count > 0 for count in counts),
        entropy=measured,
        entropy_template=of_template,
        entropy_expected=expected_entropy(of_template, len(counts), samples) if samples else None,
        normalised=measured / of_template if measured is not None and of_template else None,
    )


def _combine(templates: Sequence[TemplateVariety]) -> Variety:
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
