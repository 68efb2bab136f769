"""How many samples are valid, new or verbatim."""

from collections.abc import Iterator

from tasks.evaluation.models.novelty import Novelty, measure_novelty, valid_documents
from tasks.spintax import Template

TEMPLATES = [Template.parse("{a|b} {c|d}"), Template.parse("{x|y}")]


def test_each_sample_is_compared_verbatim() -> None:
    samples = ["a c", "b d", "b d", "x", "own text", "nonsense", "a c ", "A c"]
    assert measure_novelty(samples, TEMPLATES, ["a c", "own text", "b c", " x", "nonsense\n"]) == Novelty(
        samples=8, valid=4, valid_new=3, verbatim=2, valid_share=0.5, valid_new_share=0.375, verbatim_share=0.25
    )


def test_without_templates_validity_is_not_known() -> None:
    assert measure_novelty(["one", "two"], [], ["two"]) == Novelty(
        samples=2, valid=None, valid_new=None, verbatim=1, valid_share=None, valid_new_share=None, verbatim_share=0.5
    )


def test_no_samples_have_no_share() -> None:
    assert measure_novelty([], TEMPLATES, ["a c"]) == Novelty(
        samples=0, valid=0, valid_new=0, verbatim=0, valid_share=None, valid_new_share=None, verbatim_share=None
    )


def test_an_empty_sample_can_be_a_sentence() -> None:
    found = measure_novelty(["", ""], [Template.parse("{|a}")], ["a"])
    assert (found.valid, found.valid_new, found.verbatim) == (2, 2, 0)


def test_a_model_that_has_memorised_its_training_documents_writes_nothing_new() -> None:
    documents = list(TEMPLATES[0])
    found = measure_novelty(documents, TEMPLATES, documents)
    assert (found.valid_share, found.valid_new_share, found.verbatim_share) == (1.0, 0.0, 1.0)


def test_the_training_documents_are_read_once() -> None:
    def train() -> Iterator[str]:
        yield from ("a c", "b c")

    found = measure_novelty(["b c", "a d"], TEMPLATES, train())
    assert (found.valid_new, found.verbatim) == (1, 1)


def test_a_document_is_valid_if_it_is_a_sentence_of_one_of_the_templates() -> None:
    templates = [TEMPLATES[0], Template.parse("only this[| one]{|!}")]
    documents = ["a c", "b d", "only this[| one]", "only this[| one]!", "a  c", "a c ", "A c", "", "a", "a cb d"]
    assert valid_documents(documents, templates) == [True] * 4 + [False] * 6


def test_no_document_is_valid_without_a_template() -> None:
    assert valid_documents(["a c"], []) == [False]
    assert valid_documents([], TEMPLATES) == []
