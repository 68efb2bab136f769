"""Count the options, and the pairs of options, of the templates that occur in the training documents.

For a pair of options one bit is stored, in a number that belongs to the option of the slot with more options.
"""

from collections.abc import Iterable, Sequence
from itertools import islice

from tasks.evaluation.corpus.figures import Coverage, HeldOutPair, Option, OptionPair
from tasks.spintax import Template

MAX_PAIRS = 1_000_000
"""Pairs are counted only if the templates have at most this many."""

SHOWN = 10
"""Options and pairs that are listed."""


class CoverageTally:
    """Counts options and pairs of several templates; a fully covered template costs nothing per document."""

    def __init__(self, templates: Sequence[Template], held_out: Sequence[HeldOutPair], max_pairs: int) -> None:
        """ValueError if a held-out pair names a template, a slot or an option that does not exist."""
        self._held_out = [_option_pair(templates, pair) for pair in held_out]
        slots = [template.slots for template in templates]
        self._counts_pairs = sum(map(_possible_pairs, slots)) <= max_pairs
        self._templates = [
            _TemplateTally(template, [pair[1:] for pair in held_out if pair[0] == number], self._counts_pairs)
            for number, template in enumerate(templates)
        ]

    def add(self, template: int, choices: Sequence[int]) -> None:
        """Count a training document that is a variant of this template."""
        self._templates[template].add(choices)

    def figures(self) -> Coverage | None:
        """The counts; None without templates."""
        tallies = self._templates
        if not tallies:
            return None
        never_seen = (option for tally in tallies for option in tally.never_seen())
        return Coverage(
            options_seen=sum(sum(tally.seen) for tally in tallies),
            options=sum(len(tally.seen) for tally in tallies),
            never_seen=tuple(islice(never_seen, SHOWN)),
            pairs_seen=sum(tally.possible - tally.missing for tally in tallies) if self._counts_pairs else None,
            pairs=sum(tally.possible for tally in tallies) if self._counts_pairs else None,
            pairs_held_out=sum(len(tally.held_out) for tally in tallies),
            pairs_held_out_seen=sum(len(tally.held_out_seen) for tally in tallies),
            held_out=tuple(self._held_out[:SHOWN]),
        )


class _TemplateTally:
    """One template. Options are numbered, those of slots with few options first; equal options of a slot share one."""

    def __init__(
        self, template: Template, held_out: Iterable[tuple[tuple[int, int], tuple[int, int]]], counts_pairs: bool
    ) -> None:
        self.template = template
        self.numbers, total = _number_options(template.slots)
        self.order = sorted(range(len(self.numbers)), key=lambda slot: max(self.numbers[slot]))
        self.seen = [False] * total
        self.unseen = total
        self.partners = [0] * total  # option → bits of the options of earlier slots that it was seen with
        self.held_out = {frozenset(self.numbers[slot][option] for slot, option in pair) for pair in held_out}
        self.held_out_slots = {frozenset(slot for slot, _ in pair) for pair in held_out}
        self.held_out_seen: set[frozenset[int]] = set()
        self.possible = _possible_pairs(template.slots) - len(self.held_out) if counts_pairs else 0
        self.missing = self.possible
        for pair in self.held_out:  # counted as seen, so that they are not missing
            self.partners[max(pair)] |= 1 << min(pair)

    def add(self, choices: Sequence[int]) -> None:
        for slots in self.held_out_slots:
            pair = frozenset(self.numbers[slot][choices[slot]] for slot in slots)
            if pair in self.held_out:
                self.held_out_seen.add(pair)
        if self.unseen:
            self._add_options(choices)
        if self.missing:
            self._add_pairs(choices)

    def _add_options(self, choices: Sequence[int]) -> None:
        for slot, choice in enumerate(choices):
            option = self.numbers[slot][choice]
            if not self.seen[option]:
                self.seen[option] = True
                self.unseen -= 1

    def _add_pairs(self, choices: Sequence[int]) -> None:
        before = 0
        for slot in self.order:
            option = self.numbers[slot][choices[slot]]
            new = before & ~self.partners[option]
            if new:
                self.partners[option] |= new
                self.missing -= new.bit_count()
            before |= 1 << option

    def never_seen(self) -> Iterable[Option]:
        """The options that were not seen, in reading order."""
        for slot, options in enumerate(self.template.slots):
            labels = dict(zip(self.numbers[slot], options, strict=True))
            yield from (_option(self.template, slot, labels[number]) for number in labels if not self.seen[number])


def _number_options(slots: Sequence[Sequence[str]]) -> tuple[list[list[int]], int]:
    """Return the number of each option of each slot, and the count of numbers."""
    distinct = [{label: number for number, label in enumerate(dict.fromkeys(options))} for options in slots]
    starts = [0] * len(slots)
    total = 0
    for slot in sorted(range(len(slots)), key=lambda slot: len(distinct[slot])):
        starts[slot] = total
        total += len(distinct[slot])
    return [[starts[slot] + distinct[slot][label] for label in options] for slot, options in enumerate(slots)], total


def _possible_pairs(slots: Sequence[Sequence[str]]) -> int:
    sizes = [len(set(options)) for options in slots]
    return (sum(sizes) ** 2 - sum(size**2 for size in sizes)) // 2


def _option(template: Template, slot: int, label: str) -> Option:
    return Option(template=f"{template.name}:{template.line}", slot=slot + 1, option=label)


def _option_pair(templates: Sequence[Template], pair: HeldOutPair) -> OptionPair:
    number, *options = pair
    try:
        first, second = (
            _option(templates[number], slot, templates[number].slots[slot][option]) for slot, option in options
        )
    except IndexError as error:
        raise ValueError(f"the held-out pair {pair} names a template, slot or option that does not exist") from error
    if first.slot == second.slot or min(number, *options[0], *options[1]) < 0:
        raise ValueError(f"the held-out pair {pair} must name two different slots, with numbers from 0 on")
    return OptionPair(first=first, second=second)
