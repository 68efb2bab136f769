"""Collect lengths, coverage and leak of a corpus in one pass over its documents.

Memory grows with the held-out documents (about 200 bytes each) and the templates, not with the training documents.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tasks.evaluation.corpus.coverage import MAX_PAIRS, CoverageTally
from tasks.evaluation.corpus.figures import Coverage, HeldOutPair, Leak, Lengths
from tasks.evaluation.corpus.leak import NeighbourTally, OverlapTally, SharedRunTally
from tasks.evaluation.corpus.lengths import LengthTally
from tasks.spintax import Template


@dataclass(frozen=True)
class CorpusStatistics:
    """The figures that take a pass over the documents."""

    train: int
    evaluation: int
    own_documents: int
    """Documents of both splits that are not variants of a template."""
    characters: Lengths | None
    words: Lengths | None
    coverage: Coverage | None
    leak: Leak


def collect_statistics(
    train: Iterable[str],
    evaluation: Iterable[str],
    templates: Sequence[Template],
    held_out: Sequence[HeldOutPair] = (),
    *,
    max_pairs: int = MAX_PAIRS,
) -> CorpusStatistics:
    """Read both streams once, the held-out one first; ValueError if a held-out pair does not fit the templates.

    A document is taken for the first derivation of a template that equals it. A training document counts for every
    template that it belongs to; the neighbours of a held-out document are searched in the first one only.
    """
    tallies = _Tallies(templates, held_out, max_pairs)
    for document in evaluation:
        tallies.hold_out(document)
    for document in train:
        tallies.add(document)
    return tallies.figures()


class _Tallies:
    def __init__(self, templates: Sequence[Template], held_out: Sequence[HeldOutPair], max_pairs: int) -> None:
        self._templates = list(enumerate(templates))
        self._characters = LengthTally()
        self._words = LengthTally()
        self._coverage = CoverageTally(templates, held_out, max_pairs)
        self._overlap = OverlapTally()
        self._neighbours = NeighbourTally(templates)
        self._runs = SharedRunTally()
        self._train = self._evaluation = self._own = 0

    def hold_out(self, document: str) -> None:
        self._evaluation += 1
        words = self._measure(document)
        readings = self._read(document)
        self._overlap.hold_out(document)
        if readings:
            self._neighbours.hold_out(*readings[0])
        else:
            self._own += 1
            self._runs.hold_out(words)

    def add(self, document: str) -> None:
        self._train += 1
        words = self._measure(document)
        readings = self._read(document)
        self._overlap.add(document)
        self._runs.add(words)
        if not readings:
            self._own += 1
        for template, choices in readings:
            self._neighbours.add(template, choices)
            self._coverage.add(template, choices)

    def _measure(self, document: str) -> list[str]:
        words = document.split()
        self._characters.add(len(document))
        self._words.add(len(words))
        return words

    def _read(self, document: str) -> list[tuple[int, tuple[int, ...]]]:
        """Every template that the document belongs to, with its option for each slot."""
        readings = []
        for number, template in self._templates:
            choices = template.choices_of(document)
            if choices is not None:
                readings.append((number, choices))
        return readings

    def figures(self) -> CorpusStatistics:
        return CorpusStatistics(
            train=self._train,
            evaluation=self._evaluation,
            own_documents=self._own,
            characters=self._characters.figures(),
            words=self._words.figures(),
            coverage=self._coverage.figures(),
            leak=Leak(
                overlap=self._overlap.figures(),
                neighbours=self._neighbours.figures(),
                runs=self._runs.figures(),
            ),
        )
