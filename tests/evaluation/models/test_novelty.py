"""What of the samples is valid, new or verbatim."""

from collections.abc import Iterator

from tasks.evaluation.models.novelty import Novelty, novelty
from tasks.spintax import Template

TEMPLATES = [Template.parse("{a|b} {c|d}"), Template.parse("{x|y}")]


def test_each_sample_is_compared_to_the_letter() -> None:
    samples = ["a c", "b d", "b d", "x", "own text", "nonsense", "a c ", "A c"]
    assert novelty(samples, TEMPLATES, ["a c", "own text", "b c", " x", "nonsense\n"]) == Novelty(
        samples=8, valid=4, valid_new=3, verbatim=2, valid_share=0.5, valid_new_share=0.375, verbatim_share=0.25
    )


def test_of_own_text_nothing_is_known_to_be_valid() -> None:
    assert novelty(["one", "two"], [], ["two"]) == Novelty(
        samples=2, valid=None, valid_new=None, verbatim=1, valid_share=None, valid_new_share=None, verbatim_share=0.5
    )


def test_no_samples_have_no_share() -> None:
    assert novelty([], TEMPLATES, ["a c"]) == Novelty(
        samples=0, valid=0, valid_new=0, verbatim=0, valid_share=None, valid_new_share=None, verbatim_share=None
    )


def test_an_empty_sample_can_be_a_sentence() -> None:
    found = novelty(["", ""], [Template.parse("{|a}")], ["a"])
    assert (found.valid, found.valid_new, found.verbatim) == (2, 2, 0)


def test_a_model_that_knows_its_training_documents_by_heart_has_nothing_new() -> None:
    documents = list(TEMPLATES[0])
    found = novelty(documents, TEMPLATES, documents)
    assert (found.valid_share, found.valid_new_share, found.verbatim_share) == (1.0, 0.0, 1.0)


def test_the_training_documents_are_read_once() -> None:
    def train() -> Iterator[str]:
        yield from ("a c", "b c")

    found = novelty(["b c", "a d"], TEMPLATES, train())
    assert (found.valid_new, found.verbatim) == (1, 1)
