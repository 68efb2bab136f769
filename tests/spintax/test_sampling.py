"""Draws: what is promised to hold for every version of Python and NumPy."""

import hashlib
import time
from collections import Counter
from itertools import islice, pairwise

import numpy as np
import pytest

from tasks.errors import InputError
from tasks.spintax import SpintaxError, Template, count_distinct, join_templates, parse_templates
from tasks.spintax.permutation import Network, permute
from tasks.spintax.sampling import _divide, draw_chunks, draw_texts, look_up, make_tables

DIGITS = "{0|1|2|3|4|5|6|7|8|9}"
HUGE = Template.parse(DIGITS * 30)
CHEESE = Template.parse(
    "{you can|you should} {make|build} {a|your} cheese sandwich{| by tucking {it|cheese}} {in|inside}"
)

GOLDEN = {
    (10, 0): [1, 5, 8, 0],
    (10, -7): [9, 3, 1, 5],
    (2**16, 0): [48550, 42843, 62053, 51161],
    (2**16 + 1, 0): [14610, 18678, 13454, 29835],
    (97200, -7): [25083, 15817, 91984, 2212],
    (10**30, 0): [
        193312774982153317573850960898,
        901533682225480473985849569311,
        640607458087227300791059613686,
        683414195033078399138057960064,
    ],
    (10**60, 0): [
        906525365311362541946319358032174596157203508421027866093654,
        995909772962578405492533489574827988655169139856822959944157,
        139428277391550515826163545169240489823953966213467712170956,
        597050100061299606993012277242417494814992840439598376268115,
    ],
}


@pytest.mark.parametrize(("count", "seed"), GOLDEN)
def test_order_of_a_seed_never_changes(count: int, seed: int) -> None:
    assert list(islice(permute(count, seed), 4)) == GOLDEN[count, seed]


def test_draw_of_a_seed_never_changes() -> None:
    assert list(HUGE.draw(2, 0)) == [f"{number:030}" for number in GOLDEN[10**30, 0][:2]]
    drawn = "\n".join(HUGE.draw(6000, 42))
    assert (
        hashlib.sha256(drawn.encode()).hexdigest() == "29652092e521968b3449896236b30f4e375fdb9545e9fea0656724a980186fed"
    )


@pytest.mark.parametrize("count", [1, 2, 3, 1000, 2**16, 2**16 + 1, 70_001, 2**17])
def test_order_holds_every_number_once(count: int) -> None:
    assert sorted(permute(count, 5)) == list(range(count))


@pytest.mark.parametrize("template", [CHEESE, HUGE, Template.parse(DIGITS * 5), Template.parse(DIGITS * 60)])
def test_shorter_draw_begins_the_longer_one(template: Template) -> None:
    longest = list(template.draw(9000, 3))
    for number in [0, 1, 2, 17, 199, 200, 201, 4999, 5000, 5001, 8192, 8193, 8999]:
        assert list(template.draw(number, 3)) == longest[:number]


def test_draw_never_repeats_a_text() -> None:
    assert len(set(HUGE.draw(20_000, 1))) == 20_000
    everything = list(Template.parse(DIGITS * 5).draw(10**6, 1))
    assert sorted(everything) == list(Template.parse(DIGITS * 5))
    assert everything != sorted(everything)


def test_draw_past_the_count_gives_all_of_them() -> None:
    assert sorted(Template.parse("{a|b|{c|d}}").draw(10**30, 0)) == ["a", "b", "c", "d"]
    assert list(Template.parse("").draw(5, 0)) == [""]
    assert list(CHEESE.draw(0, 0)) == []


def test_negative_draw_is_refused_at_once() -> None:
    with pytest.raises(InputError, match="-1 variants"):
        CHEESE.draw(-1, 0)
    with pytest.raises(InputError, match="-1 variants"):
        join_templates([CHEESE, HUGE]).draw(-1, 0)


def test_seeds_differ() -> None:
    draws = {tuple(HUGE.draw(3, seed)) for seed in (0, 1, -1, 2**64, 2**64 + 1)}
    assert len(draws) == 5
    assert list(CHEESE.draw(9, 7)) == list(CHEESE.draw(9, 7))


@pytest.mark.parametrize(
    "radices",
    [
        [65537],
        [3] * 11,
        [2**16] * 2,
        [7] * 21,
        [2**16] * 4,
        [2**16, 2**16, 2**16, 2**16, 2],
        [2**16] * 8,
        [10] * 37,
        [3] * 80,
    ],
)
def test_numpy_draws_what_plain_python_draws(radices: list[int]) -> None:
    tables = [[f"{digit}." for digit in range(radix)] for radix in radices]
    count = 1
    for radix in radices:
        count *= radix
    plain = [look_up(tables, index) for index in islice(permute(count, 11), 300)]
    assert list(draw_chunks(tables, Network(count, 11), 300)) == plain


@pytest.mark.parametrize("number", [0, 9, 2**32, 2**64 + 3, 2**96 + 5, 2**128 - 1, 10**30, 7 * 2**64])
def test_long_division_is_exact(number: int) -> None:
    limbs = [np.array([number >> shift & 0xFFFFFFFF], dtype=np.uint64) for shift in (96, 64, 32, 0)]
    while number:
        digits, limbs = _divide(limbs, 7)
        number, digit = divmod(number, 7)
        assert digits.tolist() == [digit]
    assert [limb.tolist() for limb in limbs if limb.any()] == []


def test_tables_give_what_the_tree_gives() -> None:
    text = "x{a|b{c|d|}}{1|{2|3}}" * 8 + "{" + "|".join(map(str, range(5000))) + "}!{y|z}{same}"
    template = Template.parse(text)
    tables = make_tables(template._tree)
    assert tables is not None
    for index in range(0, template.count, template.count // 200):
        assert look_up(tables, index) == template[index]


def test_template_of_large_nested_groups_is_drawn_without_tables() -> None:
    template = Template.parse("{" + "{a|b}" * 20 + "|" + "{c|d}" * 20 + "}")
    assert make_tables(template._tree) is None
    drawn = list(islice(draw_texts(template._tree, 1, expected=6000), 6000))
    assert len(set(drawn)) == 6000
    assert all(text in template for text in drawn[:50])
    assert 2700 < sum(text[0] in "ab" for text in drawn) < 3300


@pytest.mark.parametrize("count", [10, 2**16 + 1])
def test_every_number_is_as_likely_as_any_other(count: int) -> None:
    seeds, cells = 4000, 10
    firsts: Counter[int] = Counter()
    steps: Counter[int] = Counter()
    for seed in range(seeds):
        one, two = islice(permute(count, seed), 2)
        firsts[one * cells // count] += 1
        steps[(two - one) % count * cells // count] += 1
    expected = seeds / cells
    for counter, cell_range in ((firsts, range(cells)), (steps, range(1 if count == 10 else 0, cells))):
        expected = seeds / len(cell_range)
        # Chi-square with at most 9 degrees of freedom exceeds 27.9 once in a thousand fair orders.
        assert sum((counter[cell] - expected) ** 2 / expected for cell in cell_range) < 27.9


def test_one_order_runs_evenly_through_the_numbers() -> None:
    numbers = list(islice(permute(10**30, 2), 5000))
    rises = sum(one < two for one, two in pairwise(numbers))
    assert 2300 < rises < 2700
    assert all(420 < tally < 580 for tally in Counter(number * 10 // 10**30 for number in numbers).values())


def test_huge_templates_are_drawn_fast() -> None:
    begin = time.perf_counter()
    assert len(set(HUGE.draw(100_000, 1))) == 100_000
    assert len(set(Template.parse(DIGITS * 1000).draw(100, 1))) == 100
    assert time.perf_counter() - begin < 5


def test_several_templates_are_drawn_as_one() -> None:
    templates = parse_templates("{a|b}\n{c|d|e}\n\nf\n")
    joined = join_templates(templates)
    drawn = list(joined.draw(10, 3))
    assert sorted(drawn) == list("abcdef")
    assert drawn[:4] == list(joined.draw(4, 3))
    assert join_templates(templates[:1]) == templates[0]
    assert [joined[index] for index in (0, 1, 2, 5, -1, -6)] == list("abcffa")
    with pytest.raises(IndexError, match="6 derivations"):
        joined[6]
    with pytest.raises(InputError, match="no template"):
        join_templates([])


def test_a_text_of_two_derivations_is_drawn_first_twice_as_often() -> None:
    template = Template.parse("{a|a|b}")
    firsts = Counter(next(template.draw(1, seed)) for seed in range(3000))
    pairs = Counter("".join(template.draw(2, seed)) for seed in range(3000))
    # Of 3,000 fair draws 2,000 are "a", with a standard deviation of 26.
    assert 1870 < firsts["a"] < 2130
    assert pairs == {"ab": firsts["a"], "ba": firsts["b"]}


@pytest.mark.slow
def test_draw_finds_the_variants_that_derivations_would_never_come_to() -> None:
    bomb = Template.parse("{|a}" * 64)
    everything = list(bomb.draw(10**30, 5))
    assert sorted(everything) == ["a" * size for size in range(65)]
    for number in (1, 25, 64):
        assert list(bomb.draw(number, 5)) == everything[:number]
    both = [bomb, Template.parse("{|a|b}")]
    assert count_distinct(both) == 66
    assert sorted(join_templates(both).draw(10**30, 5)) == sorted([*everything, "b"])


@pytest.mark.slow
def test_draw_is_refused_when_no_new_variant_can_be_found(monkeypatch: pytest.MonkeyPatch) -> None:
    template = Template.parse("{|a}" * 64)
    monkeypatch.setattr("tasks.spintax.template.count_distinct", lambda tree: None)
    drawn = template.draw(65, 0)
    assert next(drawn) != next(drawn)
    with pytest.raises(SpintaxError, match="repeats a drawn variant") as raised:
        list(drawn)
    assert raised.value.code == "too-many"


def test_nothing_is_remembered_where_no_text_can_repeat(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.spintax.sampling_without_replacement._is_new", None)
    assert len(set(HUGE.draw(2000, 1))) == 2000


def test_large_draws_of_ambiguous_templates_hold_every_variant_once() -> None:
    template = Template.parse("{a|ab}{b|}" + DIGITS * 5)
    drawn = list(template.draw(10**6, 4))
    assert len(drawn) == len(set(drawn)) == template.distinct == 300_000
    assert list(template.draw(7000, 4)) == drawn[:7000]
    assert list(template.draw(100, 4)) == drawn[:100]


def test_several_large_templates_are_drawn_alike_at_every_size() -> None:
    templates = parse_templates(f"a{DIGITS * 5}\n{{b|c}}{DIGITS * 4}\n" + "{d|{e|f}}" * 3)
    total = sum(template.count for template in templates)
    every = [text for template in templates for text in template]
    joined = join_templates(templates)
    drawn = list(joined.draw(10_000, 6))
    assert drawn == [every[index] for index in islice(permute(total, 6), 10_000)]
    for number in (3, 700, 4999, 5000):
        assert list(joined.draw(number, 6)) == drawn[:number]
    assert count_distinct(templates) == total
