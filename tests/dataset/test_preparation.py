"""Claims about the corpus: every document is accounted for, and the split is a function of the set and the seed."""

import random
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.dataset import Counts, document_digest, normalise, prepare
from tasks.errors import InputError

TEXTS = st.lists(st.text(st.characters(codec="utf-8"), max_size=6), max_size=30)
TWO_DISTINCT = TEXTS.map(lambda texts: [*texts, "first of two", "second of two"])

GOLDEN_EVALUATION = tuple(f"sentence {number}" for number in (11, 7, 5))
GOLDEN_TRAIN = tuple(f"sentence {number}" for number in (2, 3, 1, 0, 8, 10, 4, 6, 9))
GOLDEN_DIGEST = "8af73f067460ae86b8d64a78e65544e2"


def test_normalise_composes_and_strips_the_mark_and_the_line_end_only() -> None:
    assert normalise("\ufeffCafe\u0301  au\tLait \r\n") == "Caf\u00e9  au\tLait "
    assert normalise(" a\nb ") == " a\nb "
    assert normalise("\ufb01ve m\u00b2") == "\ufb01ve m\u00b2"  # compatibility forms are other text


@given(st.text(st.characters(codec="utf-8")))
def test_normalise_twice_is_normalise_once(text: str) -> None:
    once = normalise(text)
    assert normalise(once) == once
    assert unicodedata.is_normalized("NFC", once)


@settings(max_examples=60)
@given(TWO_DISTINCT, st.integers(0, 2**64 - 1), st.randoms())
def test_input_order_does_not_matter(texts: list[str], seed: int, order: random.Random) -> None:
    mixed = list(texts)
    order.shuffle(mixed)
    assert prepare(iter(mixed), seed=seed) == prepare(texts, seed=seed)


@settings(max_examples=60)
@given(TWO_DISTINCT, st.integers(0, 99), st.floats(0.01, 0.99), st.integers(1, 5))
def test_each_document_read_is_kept_once_or_counted(
    texts: list[str], seed: int, eval_fraction: float, max_eval: int
) -> None:
    corpus = prepare(texts, seed=seed, eval_fraction=eval_fraction, max_eval=max_eval)
    distinct = {normalise(text) for text in texts if normalise(text).strip()}
    kept = [*corpus.train, *corpus.evaluation]
    assert len(kept) == len(set(kept)) == corpus.counts.kept
    assert set(kept) == distinct
    assert corpus.counts.read == len(texts) == sum((len(kept), corpus.counts.duplicate, corpus.counts.empty))
    assert corpus.counts.empty == sum(not normalise(text).strip() for text in texts)
    assert corpus.train
    assert 1 <= len(corpus.evaluation) <= max_eval


def test_the_order_and_the_split_of_a_seed_never_change() -> None:
    corpus = prepare((f"sentence {number}" for number in range(12)), seed=7, eval_fraction=0.25)
    assert corpus.evaluation == GOLDEN_EVALUATION
    assert corpus.train == GOLDEN_TRAIN
    assert document_digest("caf\u00e9", seed=7).hex() == GOLDEN_DIGEST


def test_another_seed_gives_another_order_and_another_split() -> None:
    texts = [f"sentence {number}" for number in range(100)]
    one, other = prepare(texts, seed=0), prepare(texts, seed=1)
    assert set(one.evaluation) != set(other.evaluation)
    assert sorted(one.train + one.evaluation) == sorted(other.train + other.evaluation)


@pytest.mark.parametrize(
    ("documents", "eval_fraction", "max_eval", "held_out"),
    [(100, 0.1, 10_000, 10), (100, 0.1, 3, 3), (2, 0.1, 10_000, 1), (2, 0.99, 10_000, 1), (48, 0.1, 10_000, 5)],
)
def test_the_held_out_share_is_rounded_and_bounded(
    documents: int, eval_fraction: float, max_eval: int, held_out: int
) -> None:
    texts = (str(number) for number in range(documents))
    corpus = prepare(texts, seed=0, eval_fraction=eval_fraction, max_eval=max_eval)
    assert (len(corpus.evaluation), len(corpus.train)) == (held_out, documents - held_out)


def test_equal_after_normalising_is_a_duplicate_and_white_space_is_empty() -> None:
    corpus = prepare(["cafe\u0301\n", "caf\u00e9", "Caf\u00e9", " \t\u2028", "", "a\nb"], seed=0)
    assert corpus.counts == Counts(read=6, kept=3, duplicate=1, empty=2)
    assert {*corpus.train, *corpus.evaluation} == {"caf\u00e9", "Caf\u00e9", "a\nb"}


def test_counts_that_do_not_add_up_cannot_be_made() -> None:
    with pytest.raises(ValueError, match="documents went astray"):
        Counts(read=3, kept=1, duplicate=1, empty=0)


@pytest.mark.parametrize(("documents", "kept"), [([], 0), (["a", "a\n", " "], 1)])
def test_fewer_than_two_distinct_documents_are_refused(documents: list[str], kept: int) -> None:
    says = f"a corpus of at least 2 distinct documents is needed to split off a held-out set, got {kept} "
    with pytest.raises(InputError, match=says):
        prepare(documents, seed=0)


@pytest.mark.parametrize(
    ("seed", "eval_fraction", "max_eval", "says"),
    [
        (-1, 0.1, 1, "the seed of the corpus is -1"),
        (2**64, 0.1, 1, "the seed of the corpus is"),
        (0, 0.0, 1, "the held-out share is 0.0"),
        (0, 1.0, 1, "the held-out share is 1.0"),
        (0, 0.1, 0, "the most documents to hold out is 0"),
    ],
)
def test_arguments_out_of_range_are_refused(seed: int, eval_fraction: float, max_eval: int, says: str) -> None:
    with pytest.raises(InputError, match=says):
        prepare(["a", "b"], seed=seed, eval_fraction=eval_fraction, max_eval=max_eval)
