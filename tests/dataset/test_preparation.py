"""Claims about the corpus: every document is accounted for, and the split is a function of the set and the seed."""

import random
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.dataset import Counts, normalise, prepare
from tasks.errors import InputError
from tasks.parameters import CorpusParameters
from tests.factories.corpora import prepared

TEXTS = st.lists(st.text(st.characters(codec="utf-8"), max_size=6), max_size=30)
TWO_DISTINCT = TEXTS.map(lambda texts: [*texts, "first of two", "second of two"])

GOLDEN_EVALUATION = [f"sentence {number}" for number in (11, 7, 5)]
GOLDEN_TRAIN = [f"sentence {number}" for number in (2, 3, 1, 0, 8, 10, 4, 6, 9)]


@settings(max_examples=60, deadline=None)
@given(TWO_DISTINCT, st.integers(0, 2**64 - 1), st.randoms(), st.sampled_from([1, 400, 2**30]))
def test_neither_the_input_order_nor_the_memory_matters(
    texts: list[str], seed: int, order: random.Random, memory: int
) -> None:
    mixed = list(texts)
    order.shuffle(mixed)
    assert prepared(iter(mixed), seed=seed, memory=memory) == prepared(texts, seed=seed)


@settings(max_examples=60, deadline=None)
@given(TWO_DISTINCT, st.integers(0, 99), st.floats(0.01, 0.99), st.integers(1, 5), st.sampled_from([1, 500, 2**30]))
def test_each_document_read_is_kept_once_or_counted(
    texts: list[str], seed: int, eval_fraction: float, most: int, memory: int
) -> None:
    corpus = prepared(texts, seed=seed, eval_fraction=eval_fraction, max_eval_documents=most, memory=memory)
    distinct = {normalise(text) for text in texts if normalise(text).strip()}
    kept = [*corpus.train, *corpus.evaluation]
    assert len(kept) == len(set(kept)) == corpus.counts.kept
    assert set(kept) == distinct
    assert corpus.counts.read == len(texts) == sum((len(kept), corpus.counts.duplicate, corpus.counts.empty))
    assert corpus.counts.empty == sum(not normalise(text).strip() for text in texts)
    assert corpus.counts.rejected == {}
    assert corpus.train
    assert 1 <= len(corpus.evaluation) <= most


@settings(max_examples=60, deadline=None)
@given(
    TWO_DISTINCT,
    st.fixed_dictionaries(
        {
            "collapse_whitespace": st.booleans(),
            "ignore_case": st.booleans(),
            "min_characters": st.integers(1, 3),
            "max_characters": st.integers(3, 12),
        }
    ),
    st.sampled_from([1, 400, 2**30]),
)
def test_the_counts_add_up_with_any_parameters(texts: list[str], rules: dict[str, Any], memory: int) -> None:
    documents = [*texts, "one", "two"]
    corpus = prepared(documents, memory=memory, **rules)
    counts = corpus.counts
    normal = [normalise(text, collapse_whitespace=rules["collapse_whitespace"]) for text in documents]
    full = [text for text in normal if text.strip()]
    assert counts.empty == len(normal) - len(full)
    assert counts.rejected.get("short", 0) == sum(len(text) < rules["min_characters"] for text in full)
    assert counts.rejected.get("long", 0) == sum(len(text) > rules["max_characters"] for text in full)
    right = [text for text in full if rules["min_characters"] <= len(text) <= rules["max_characters"]]
    assert counts.kept + counts.duplicate == len(right)
    assert counts.read == counts.kept + counts.duplicate + counts.empty + sum(counts.rejected.values())
    assert set(corpus.train + corpus.evaluation) <= set(right)
    if not rules["ignore_case"]:
        assert set(corpus.train + corpus.evaluation) == set(right)


@pytest.mark.parametrize("memory", [1, 2000, 2**30])
def test_the_order_and_the_split_of_a_seed_never_change(memory: int) -> None:
    texts = (f"sentence {number}" for number in range(12))
    corpus = prepared(texts, seed=7, eval_fraction=0.25, memory=memory)
    assert corpus.evaluation == GOLDEN_EVALUATION
    assert corpus.train == GOLDEN_TRAIN


@pytest.mark.parametrize("memory", [1, 2000, 2**30])
def test_sorted_is_by_code_point_and_the_split_is_the_same(memory: int) -> None:
    texts = ["b", "a", "\uffff", "\U0001f9c0", "Z", "\u00e9", "a b", "aa", *(f"{number}" for number in range(200))]
    shuffled, in_order = prepared(texts, seed=3), prepared(texts, seed=3, order="sorted", memory=memory)
    assert in_order.train == sorted(shuffled.train) != shuffled.train
    assert in_order.evaluation == sorted(shuffled.evaluation)
    assert in_order.counts == shuffled.counts


def test_more_runs_than_can_be_open_at_once_are_sorted_too() -> None:
    texts = [f"{number:05}" for number in range(3000)]
    corpus = prepared(texts, order="sorted", memory=400)
    assert corpus.train == sorted(corpus.train)
    assert sorted(corpus.train + corpus.evaluation) == texts


def test_another_seed_gives_another_order_and_another_split() -> None:
    texts = [f"sentence {number}" for number in range(100)]
    one, other = prepared(texts, seed=0), prepared(texts, seed=1)
    assert set(one.evaluation) != set(other.evaluation)
    assert sorted(one.train + one.evaluation) == sorted(other.train + other.evaluation)


@pytest.mark.parametrize(
    ("documents", "eval_fraction", "most", "held_out"),
    [(100, 0.1, 10_000, 10), (100, 0.1, 3, 3), (2, 0.1, 10_000, 1), (2, 0.99, 10_000, 1), (48, 0.1, 10_000, 5)],
)
def test_the_held_out_share_is_rounded_and_bounded(
    documents: int, eval_fraction: float, most: int, held_out: int
) -> None:
    texts = (str(number) for number in range(documents))
    corpus = prepared(texts, eval_fraction=eval_fraction, max_eval_documents=most)
    assert (len(corpus.evaluation), len(corpus.train)) == (held_out, documents - held_out)


def test_equal_after_normalising_is_a_duplicate_and_white_space_is_empty() -> None:
    corpus = prepared(["cafe\u0301\n", "caf\u00e9", "Caf\u00e9", " \t\u2028", "", "a\nb"])
    assert corpus.counts == Counts(read=6, duplicate=1, empty=2, train=2, evaluation=1)
    assert {*corpus.train, *corpus.evaluation} == {"caf\u00e9", "Caf\u00e9", "a\nb"}


@pytest.mark.parametrize("memory", [1, 2**30])
@pytest.mark.parametrize("turn", [list, reversed])
def test_case_is_ignored_in_the_comparison_and_kept_in_the_text(
    turn: Callable[..., Iterable[str]], memory: int
) -> None:
    texts = ["Stra\u00dfe", "STRASSE", "strasse", "Caf\u00c9", "cafe\u0301", "other"]
    corpus = prepared(turn(texts), ignore_case=True, memory=memory)
    assert {*corpus.train, *corpus.evaluation} == {"STRASSE", "Caf\u00c9", "other"}
    assert corpus.counts.duplicate == 3


def test_white_space_is_collapsed_if_asked_and_then_makes_duplicates() -> None:
    texts = ["a  b", " a\tb\n\n", "a\u00a0b", "c"]
    collapsed = prepared(texts, collapse_whitespace=True)
    assert {*collapsed.train, *collapsed.evaluation} == {"a b", "c"}
    assert collapsed.counts.duplicate == 2
    kept = prepared(texts)
    assert {*kept.train, *kept.evaluation} == {"a  b", " a\tb", "a\u00a0b", "c"}


def test_documents_that_must_be_held_out_are_and_the_surplus_is_rejected() -> None:
    texts = [f"{number} {'odd' if number % 2 else 'even'}" for number in range(40)]
    corpus = prepared(texts, held_out=lambda text: text.endswith("odd"), max_eval_documents=15)
    assert all(text.endswith("even") for text in corpus.train)
    assert all(text.endswith("odd") for text in corpus.evaluation)
    assert corpus.counts.rejected == {"held_out_surplus": 5}
    assert (corpus.counts.train, corpus.counts.evaluation) == (20, 15)


@pytest.mark.parametrize("answer", [True, False])
def test_a_split_that_leaves_one_part_empty_is_refused(answer: bool) -> None:
    with pytest.raises(InputError, match=r"both need at least one; draw more documents \(--corpus\.num-documents\)"):
        prepared(["a", "b", "c"], held_out=lambda text: answer)


def test_counts_that_do_not_add_up_cannot_be_made() -> None:
    with pytest.raises(ValueError, match="counts do not add up"):
        Counts(read=3, train=1, evaluation=0, duplicate=1, empty=0)


@pytest.mark.parametrize(("documents", "kept"), [([], 0), (["a", "a\n", " "], 1)])
def test_fewer_than_two_distinct_documents_are_refused(documents: list[str], kept: int) -> None:
    message = f"a corpus of at least 2 distinct documents is needed to split off a held-out set, got {kept} "
    with pytest.raises(InputError, match=message):
        prepared(documents)


def test_nothing_is_left_of_a_corpus_that_could_not_be_made(tmp_path: Path) -> None:
    def documents() -> Iterable[str]:
        yield from ("a", "b", "c")
        [scratch] = tmp_path.iterdir()
        assert list(scratch.iterdir()), "scratch files lie where they go with the folder after kill -9"
        raise InputError("line 4 is bad")

    with pytest.raises(InputError, match="line 4 is bad"):
        prepare(documents(), tmp_path, CorpusParameters(), memory=1)
    assert list(tmp_path.iterdir()) == []
