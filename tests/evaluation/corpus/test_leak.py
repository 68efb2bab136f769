"""Overlap, neighbours and shared runs of held-out and training documents."""

from collections.abc import Iterable, Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.evaluation.corpus.figures import Leak, Neighbours, SharedRuns
from tasks.evaluation.corpus.statistics import collect_statistics
from tasks.spintax import Template

SMALL = "{a|b} {c|d} {e|f|g} x"
LONG = " ".join(f"w{number}" for number in range(1, 11))


def leak(train: Iterable[str], evaluation: Iterable[str], *templates: str) -> Leak:
    return collect_statistics(train, evaluation, [Template.parse(text) for text in templates]).leak


def neighbours(train: Sequence[str], evaluation: Sequence[str], *templates: str) -> Neighbours:
    found = leak(train, evaluation, *templates).neighbours
    assert found is not None
    return found


def shared(train: Sequence[str], evaluation: Sequence[str]) -> SharedRuns:
    found = leak(train, evaluation).runs
    assert found is not None
    return found


def test_neighbours_are_exactly_one_slot_away() -> None:
    train = ["b c e x", "a d e x", "a c f x", "a c g x", "b d e x", "b c g x", "own text"]
    assert neighbours(train, ["a c e x"], SMALL) == Neighbours(sampled=1, with_neighbour=1, share=1.0, mean=4.0)
    assert neighbours(train[4:], ["a c e x"], SMALL) == Neighbours(sampled=1, with_neighbour=0, share=0.0, mean=0.0)


def test_the_mean_is_over_all_sampled_documents() -> None:
    found = neighbours(["a c f x", "a c g x"], ["a c e x", "b d e x", "b d f x", "a d f x"], SMALL)
    assert found == Neighbours(sampled=4, with_neighbour=2, share=0.5, mean=0.75)


def test_an_equal_document_is_an_overlap_and_not_a_neighbour() -> None:
    found = leak(["a c e x", "b d g x", "b d g x"], ["a c e x", "b d g x", "b d e x"], SMALL)
    assert found.overlap == 2
    assert found.neighbours == Neighbours(sampled=3, with_neighbour=1, share=1 / 3, mean=2 / 3)


def test_in_a_template_of_one_slot_all_are_neighbours_and_without_a_slot_none() -> None:
    assert neighbours(["b", "c"], ["a"], "{a|b|c}").mean == 2.0
    assert neighbours([], ["plain"], "plain") == Neighbours(sampled=1, with_neighbour=0, share=0.0, mean=0.0)


def test_documents_that_differ_inside_an_option_are_not_a_slot_away() -> None:
    assert neighbours(["a y z"], ["a x z"], "{a {x|y}|b} {z|w}").mean == 0.0
    assert neighbours(["b z", "a y w"], ["a x z"], "{a {x|y}|b} {z|w}").mean == 2.0


def test_neighbours_belong_to_the_same_template() -> None:
    templates = ["one {a|b}", "two {a|b}"]
    assert neighbours(["two b"], ["one a"], *templates).mean == 0.0
    assert neighbours(["two b", "one b"], ["one a", "two a"], *templates).mean == 1.0
    assert neighbours(["one b"], ["one a"], "one {a|b}", "one {a|b}").mean == 1.0  # and not twice
    assert neighbours(["b"], ["c"], "{a|b}", "{b|c}").mean == 1.0


def test_the_sample_is_the_first_thousand() -> None:
    template = "{" + "|".join(map(str, range(2000))) + "} {a|b}"
    evaluation = [f"{number} a" for number in range(1500)]
    found = neighbours(["1 b", "999 b", "1000 b", "1200 b"], evaluation, template)
    assert (found.sampled, found.with_neighbour) == (1000, 2)
    assert found.mean == 2 / 1000


def test_texts_that_share_eight_words_are_counted() -> None:
    eight = "and w2 w3 w4 w5 w6 w7 w8 w9 then"
    seven = "and w2 w3 w4 w5 w6 w7 w8 then"
    assert shared([eight], [LONG]) == SharedRuns(words=8, sampled=1, too_short=0, with_run=1, share=1.0)
    assert shared([seven], [LONG]).share == 0.0
    assert shared([eight], [LONG, "too short", LONG.upper(), f"{LONG} end"]) == SharedRuns(
        words=8, sampled=3, too_short=1, with_run=2, share=2 / 3
    )


def test_texts_that_are_too_short_have_no_share() -> None:
    assert shared([LONG], ["one", "two"]) == SharedRuns(words=8, sampled=0, too_short=2, with_run=0, share=None)


def test_a_text_can_share_words_with_a_variant_of_a_template() -> None:
    found = leak([LONG], [f"so {LONG}"], LONG)
    assert found.runs == SharedRuns(words=8, sampled=1, too_short=0, with_run=1, share=1.0)
    assert found.neighbours is None


def test_only_the_first_runs_of_a_long_document_are_searched_for() -> None:
    held_out = " ".join(f"w{number}" for number in range(3000))
    begin, end = (" ".join(f"w{number}" for number in range(first, first + 9)) for first in (990, 2000))
    assert shared([begin], [held_out]).share == 1.0
    assert shared([end], [held_out]).share == 0.0


def test_overlap_counts_all_held_out_documents() -> None:
    evaluation = [f"text {number}" for number in range(3000)]
    assert leak(["text 2999", "text 1", "text 3000"], evaluation).overlap == 2


def test_there_is_no_leak_if_nothing_is_held_out() -> None:
    assert leak(["a c e x", LONG], [], SMALL) == Leak(overlap=0, neighbours=None, runs=None)


@settings(deadline=None, derandomize=True)
@given(st.data())
def test_neighbours_agree_with_comparing_all_with_all(data: st.DataObject) -> None:
    template = Template.parse(SMALL)
    documents = data.draw(st.permutations(list(template)))
    cut = data.draw(st.integers(1, len(documents)))
    evaluation, train = documents[:cut], documents[cut:]
    near = [sum(sum(a != b for a, b in zip(one, other, strict=True)) == 1 for other in train) for one in evaluation]
    found = neighbours(train, evaluation, SMALL)
    assert found.mean == sum(near) / cut
    assert found.with_neighbour == sum(map(bool, near))
