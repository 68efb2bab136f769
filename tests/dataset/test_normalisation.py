"""Claims about one document: what its normal form is, and which bytes it is compared by."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.dataset import document_digest, normalise
from tasks.dataset.normalisation import fold_case

TEXT = st.text(st.characters(codec="utf-8"))


def test_normalise_composes_and_strips_the_mark_and_the_line_end_only() -> None:
    assert normalise("\ufeffCafe\u0301  au\tLait \r\n") == "Caf\u00e9  au\tLait "
    assert normalise(" a\nb ") == " a\nb "
    assert normalise("\ufb01ve m\u00b2") == "\ufb01ve m\u00b2"  # compatibility forms are other text
    assert normalise("a\u2028b\x0bc\x00") == "a\u2028b\x0bc\x00"


@given(TEXT, st.booleans())
def test_normalise_twice_is_normalise_once(text: str, collapse: bool) -> None:
    once = normalise(text, collapse_whitespace=collapse)
    assert normalise(once, collapse_whitespace=collapse) == once
    assert unicodedata.is_normalized("NFC", once)


@given(TEXT)
def test_collapsed_white_space_is_single_spaces_between_words(text: str) -> None:
    assert normalise(text, collapse_whitespace=True).split() == normalise(text).split()
    assert "  " not in normalise(text, collapse_whitespace=True)


@pytest.mark.parametrize(("one", "other"), [("STRASSE", "stra\u00dfe"), ("\u00c9", "e\u0301"), ("\u0130", "i\u0307")])
def test_folded_texts_are_equal_where_case_is_all_that_differs(one: str, other: str) -> None:
    assert fold_case(one) == fold_case(other)
    assert fold_case(one) != fold_case(other + "x")


def test_the_digest_of_a_document_never_changes() -> None:
    assert document_digest("caf\u00e9", seed=7).hex() == "8af73f067460ae86b8d64a78e65544e2"
    assert document_digest("caf\u00e9", seed=8) != document_digest("caf\u00e9", seed=7)
