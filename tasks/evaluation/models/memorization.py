"""Measure how much of the samples occurs verbatim in the training documents, and how repetitive the samples are.

A sample is the text that the model wrote, without the prompt. Words are split on white space.

The longest memorised spans are exact. A suffix automaton (Blumer et al. 1985) of the samples reads the training
documents symbol by symbol, so time is linear in them (about a microsecond per character) and memory in the samples
(about 400 bytes per character).
"""

from array import array
from collections.abc import Hashable, Iterable, Iterator, Sequence
from statistics import fmean

from tasks.evaluation.figures import Count, Figures, Share

WORDS = 4
"""Words in an n-gram that is checked for copies and repetitions."""

NGram = tuple[str, ...]


class Span(Figures):
    """The longest run of one sample that occurs verbatim in a training document, in words and in characters."""

    words: Count
    characters: Count


class Memorization(Figures):
    """Samples compared with the training documents; a share of nothing is None."""

    samples: Count
    ngram_words: Count
    ngrams: Count
    """Runs of that many words in the samples; a shorter sample has none."""
    copied: Count
    """Runs that occur in a training document."""
    copied_share: Share | None
    longest: Span
    """The longest of all samples, in words and in characters."""
    distinct_1: Share | None
    distinct_2: Share | None
    repetition: Share | None
    spans: tuple[Span, ...]
    """One per sample, in order."""


def measure_memorization(samples: Sequence[str], train: Iterable[str], *, words: int = WORDS) -> Memorization:
    """Compare the samples with the training documents; `train` is read once and not kept in memory."""
    split = [sample.split() for sample in samples]
    grams = [gram for sample in split for gram in ngrams(sample, words)]
    missing, by_word, by_character = set(grams), SpanFinder(split), SpanFinder(samples)
    for document in train:
        in_words = document.split()
        missing.difference_update(ngrams(in_words, words))
        by_word.read(in_words)
        by_character.read(document)
    copied = sum(gram not in missing for gram in grams)
    lengths = list(zip(by_word.longest(), by_character.longest(), strict=True))
    return Memorization(
        samples=len(samples),
        ngram_words=words,
        ngrams=len(grams),
        copied=copied,
        copied_share=copied / len(grams) if grams else None,
        longest=Span(
            words=max((one for one, _ in lengths), default=0), characters=max((one for _, one in lengths), default=0)
        ),
        distinct_1=distinct(samples, 1),
        distinct_2=distinct(samples, 2),
        repetition=repetition(samples, words),
        spans=tuple(Span(words=one, characters=other) for one, other in lengths),
    )


def ngrams(words: Sequence[str], n: int) -> Iterator[NGram]:
    """Every run of n words, in order; ValueError below 1."""
    if n < 1:
        raise ValueError(f"an n-gram has at least 1 word, not {n}")
    return zip(*(words[begin:] for begin in range(n)), strict=False)


def distinct(samples: Iterable[str], n: int) -> float | None:
    """distinct-n: distinct n-grams of all samples together / all their n-grams; None if there are none.

    Li et al. 2016, "A Diversity-Promoting Objective Function for Neural Conversation Models"; they divide by the words.
    """
    grams = [gram for sample in samples for gram in ngrams(sample.split(), n)]
    return len(set(grams)) / len(grams) if grams else None


def repetition(samples: Iterable[str], n: int = WORDS) -> float | None:
    """seq-rep-n: 1 - distinct n-grams / n-grams of a sample, averaged over the samples that have any; None without any.

    Welleck et al. 2020, "Neural Text Generation with Unlikelihood Training".
    """
    every = [list(ngrams(sample.split(), n)) for sample in samples]
    return fmean(1 - len(set(grams)) / len(grams) for grams in every if grams) if any(every) else None


class SpanFinder:
    """Finds the longest run of each sample that occurs in a text that was read.

    The suffix automaton of several sequences: a state is the set of runs that end at the same positions of the samples;
    the longest of them has `_lengths` symbols. `_links` leads to the state of their longest suffix that ends at further
    positions, `_next` to the state after one more symbol. State 0 is the empty run.
    """

    def __init__(self, samples: Sequence[Sequence[Hashable]]) -> None:
        """Take the samples: texts, or sequences of words."""
        self._samples = samples
        self._next: list[dict[Hashable, int]] = [{}]
        self._links = array("q", [-1])
        self._lengths = array("q", [0])
        for sample in set(map(tuple, samples)):
            state = 0
            for symbol in sample:
                state = self._append(state, symbol)
        self._found = array("q", [0]) * len(self._next)  # state → length of its longest run that was read

    def _append(self, state: int, symbol: Hashable) -> int:
        """Return the state after one more symbol of a sample; adds it if it is missing."""
        if symbol in self._next[state]:
            return self._split(state, symbol)
        new = self._add({}, 0, self._lengths[state] + 1)
        while state >= 0 and symbol not in self._next[state]:
            self._next[state][symbol] = new
            state = self._links[state]
        if state >= 0:
            self._links[new] = self._split(state, symbol)
        return new

    def _split(self, state: int, symbol: Hashable) -> int:
        """Return the state that the symbol leads to, split from its longer runs if it has any."""
        old = self._next[state][symbol]
        if self._lengths[old] == self._lengths[state] + 1:
            return old
        new = self._add(self._next[old].copy(), self._links[old], self._lengths[state] + 1)
        self._links[old] = new
        while state >= 0 and self._next[state].get(symbol) == old:
            self._next[state][symbol] = new
            state = self._links[state]
        return new

    def _add(self, following: dict[Hashable, int], link: int, length: int) -> int:
        self._next.append(following)
        self._links.append(link)
        self._lengths.append(length)
        return len(self._next) - 1

    def read(self, text: Sequence[Hashable]) -> None:
        """Read one training document; no run continues into the next one."""
        following, links, lengths, found = self._next, self._links, self._lengths, self._found
        state = length = 0
        for symbol in text:
            further = following[state].get(symbol)
            while further is None and state:
                state = links[state]
                length = lengths[state]
                further = following[state].get(symbol)
            if further is not None:
                state = further
                length += 1
                if length > found[state]:  # noqa: PLR1730 (a call takes longer than the rest of the loop)
                    found[state] = length

    def longest(self) -> list[int]:
        """The length, in symbols, of the longest run of each sample that was read so far."""
        found = self._found[:]
        order = sorted(range(1, len(found)), key=self._lengths.__getitem__)
        for state in reversed(order):  # if a run was read, so were its suffixes
            if found[state]:
                found[self._links[state]] = self._lengths[self._links[state]]
        for state in order:  # if no run of a state was read, one of its suffixes may have been
            found[state] = found[state] or found[self._links[state]]
        return [max((found[state] for state in self._walk(sample)), default=0) for sample in self._samples]

    def _walk(self, sample: Sequence[Hashable]) -> Iterator[int]:
        state = 0
        for symbol in sample:
            state = self._next[state][symbol]
            yield state
