"""A document is rejected where it is nearly the same as one that was kept, and only there."""

import sys

import pytest

from tasks.dataset.near_duplicates import NearDuplicates
from tasks.errors import InputError
from tests.factories.corpora import prepared

WORDS = [f"word{number}" for number in range(60)]
DOCUMENT = " ".join(WORDS)


def changed(*positions: int) -> str:
    """The document with another word at each of these positions; each is in five runs of five words."""
    return " ".join("another" if position in positions else word for position, word in enumerate(WORDS))


def test_a_document_that_shares_most_runs_is_not_new() -> None:
    seen = NearDuplicates(0.7)
    assert seen.is_new(DOCUMENT)
    assert not seen.is_new(changed(59)), "55 of 57 runs are shared"
    assert not seen.is_new(DOCUMENT.upper()), "case is not compared"
    assert seen.is_new(changed(10, 20, 30, 40, 50)), "31 of 81 runs are shared"
    assert seen.is_new(" ".join(reversed(WORDS)))


def test_a_short_document_is_compared_as_a_whole() -> None:
    seen = NearDuplicates(0.5)
    assert [seen.is_new(text) for text in ("good morning", "good evening", "Good  Morning", "good")] == [
        True, True, False, True,
    ]  # fmt: skip


@pytest.mark.parametrize("memory", [1, 2**30])
def test_near_duplicates_are_rejected_before_the_split_and_the_same_ones_whatever_the_input_order(memory: int) -> None:
    texts = [DOCUMENT, changed(0), changed(1), changed(59), *(f"{number} is another text" for number in range(20))]
    corpus = prepared(texts, near_duplicates=0.7, memory=memory)
    assert corpus.counts.rejected == {"near_duplicate": 3}
    assert corpus.counts.kept == 21
    assert sum("word30" in text for text in corpus.train + corpus.evaluation) == 1
    assert prepared(reversed(texts), near_duplicates=0.7) == corpus


def test_without_the_library_the_error_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasketch", None)
    with pytest.raises(InputError, match=r"pip install .* -e '\.\[near-duplicates\]'"):
        NearDuplicates(0.7)
