"""What the samples share with the training documents, and how they repeat themselves."""

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.evaluation.models.memorization import (
    Memorization,
    Span,
    SpanFinder,
    distinct,
    measure_memorization,
    ngrams,
    repetition,
)

TEXTS = st.lists(st.text("ab ", max_size=12), max_size=6)
TRAIN = ["the cat sat on the mat", "a dog sat on the rug today"]


def spans(samples: Sequence[str], train: Sequence[str]) -> list[tuple[int, int]]:
    return [(span.words, span.characters) for span in measure_memorization(samples, train).spans]


def test_the_longest_span_is_counted_in_words_and_in_characters() -> None:
    assert spans(["my dog sat on the moon"], TRAIN) == [(4, len(" dog sat on the "))]


def test_a_span_is_contiguous_and_within_one_document() -> None:
    assert spans(["mat a dog"], ["the mat", "a dog"]) == [(2, 5)]
    assert spans(["one two"], ["one", "two"]) == [(1, 3)]
    assert spans(["one three"], ["one two three"]) == [(1, 6)]  # " three"


def test_words_are_whole_and_characters_are_not() -> None:
    assert spans(["concatenate"], ["a cat"]) == [(0, 3)]
    assert spans(["two  words"], ["two words"]) == [(2, 6)]  # " words", or "two "
    assert spans(["日本語の文"], ["これは日本語です"]) == [(0, 3)]


def test_all_figures() -> None:
    samples = ["the cat sat on the rug", "x x x x x", "short", ""]
    found = measure_memorization(samples, TRAIN)
    assert found == Memorization(
        samples=4,
        ngram_words=4,
        ngrams=5,  # the cat sat on, cat sat on the, sat on the rug; x x x x twice
        copied=3,
        copied_share=0.6,
        longest=Span(words=5, characters=19),
        distinct_1=7 / 12,  # the cat sat on rug, x, short
        distinct_2=6 / 9,
        repetition=0.25,  # 0 of the first, 1/2 of the second; the others are too short
        spans=(
            Span(words=5, characters=19),  # "the cat sat on the "
            Span(words=0, characters=1),  # a space
            Span(words=0, characters=1),
            Span(words=0, characters=0),
        ),
    )
    assert Memorization.model_validate_json(found.model_dump_json()) == found


@pytest.mark.parametrize(("samples", "longest"), [([], 0), ([""], 0), (["  "], 1)])
def test_a_share_of_nothing_is_none(samples: list[str], longest: int) -> None:
    found = measure_memorization(samples, TRAIN)
    assert (found.ngrams, found.copied_share, found.distinct_1, found.distinct_2, found.repetition) == (0, *[None] * 4)
    assert found.longest == Span(words=0, characters=longest)


def test_without_training_documents_nothing_is_copied() -> None:
    found = measure_memorization(["one two three four"], [])
    assert (found.copied_share, found.longest) == (0.0, Span(words=0, characters=0))


def test_the_training_documents_are_read_once() -> None:
    def train() -> Iterator[str]:
        yield from TRAIN

    assert measure_memorization(TRAIN, train()) == measure_memorization(TRAIN, TRAIN)
    assert measure_memorization(TRAIN, TRAIN).copied_share == 1.0


def test_equal_samples_count_separately() -> None:
    found = measure_memorization(["sat on the mat", "sat on the mat", "a b c d"], TRAIN)
    assert (found.ngrams, found.copied, len(found.spans)) == (3, 2, 3)


def test_ngrams_are_runs_of_words() -> None:
    assert list(ngrams(["a", "b", "c"], 2)) == [("a", "b"), ("b", "c")]
    assert list(ngrams(["a"], 2)) == []
    for none in (0, -1):
        with pytest.raises(ValueError, match="at least 1 word"):
            ngrams(["a"], none)


def test_distinct_is_over_all_samples_together() -> None:
    assert distinct(["a b a", "a b"], 1) == 2 / 5
    assert distinct(["a b a", "a b"], 2) == 2 / 3
    assert distinct(["a b"], 3) is None


def test_repetition_is_within_a_sample() -> None:
    assert repetition(["a a a a", "a b"], 1) == (0.75 + 0) / 2
    assert repetition(["a b", "a b"], 1) == 0.0
    assert repetition(["a b c d a b c d"]) == pytest.approx(1 / 5)
    assert repetition(["a b", ""], 3) is None


def longest_by_trying(sample: Sequence[Any], train: Sequence[Sequence[Any]]) -> int:
    runs = {tuple(text[begin:end]) for text in train for end in range(len(text) + 1) for begin in range(end)}
    return max(
        (end - begin for end in range(len(sample) + 1) for begin in range(end) if tuple(sample[begin:end]) in runs),
        default=0,
    )


@settings(deadline=None, derandomize=True, max_examples=500)
@given(TEXTS, TEXTS)
def test_the_spans_agree_with_brute_force(samples: list[str], train: list[str]) -> None:
    assert spans(samples, train) == [
        (
            longest_by_trying(sample.split(), [text.split() for text in train]),
            longest_by_trying(sample, train),
        )
        for sample in samples
    ]


@settings(deadline=None, derandomize=True)
@given(TEXTS, TEXTS, st.integers(1, 3))
def test_copied_ngrams_agree_with_brute_force(samples: list[str], train: list[str], n: int) -> None:
    found = measure_memorization(samples, train, words=n)
    known = {gram for text in train for gram in ngrams(text.split(), n)}
    grams = [gram for sample in samples for gram in ngrams(sample.split(), n)]
    assert (found.ngrams, found.copied) == (len(grams), sum(gram in known for gram in grams))


def test_found_spans_are_kept_while_further_documents_are_read() -> None:
    finder = SpanFinder(["abcd", "xbcy"])
    finder.read("zbcz")
    assert finder.longest() == [2, 2]
    finder.read("bcd")
    assert finder.longest() == [3, 2]


def test_a_long_run_of_the_same_is_read_in_linear_time() -> None:
    finder = SpanFinder(["a" * 20_000, "b"])
    finder.read("a" * 10_000 + "b" + "a" * 19_999)
    assert finder.longest() == [19_999, 1]
