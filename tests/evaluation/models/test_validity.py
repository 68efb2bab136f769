from tasks.evaluation.models.validity import valid_documents
from tasks.spintax import Template

TEMPLATES = [Template.parse("{a|b} {c|d}"), Template.parse("only this[| one]{|!}")]


def test_a_document_is_valid_where_it_is_a_sentence_of_one_of_the_templates() -> None:
    documents = ["a c", "b d", "only this[| one]", "only this[| one]!", "a  c", "a c ", "A c", "", "a", "a cb d"]
    assert valid_documents(documents, TEMPLATES) == [True] * 4 + [False] * 6


def test_without_a_template_nothing_is_valid() -> None:
    assert valid_documents(["a c"], []) == [False]
    assert valid_documents([], TEMPLATES) == []
