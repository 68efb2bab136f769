"""The engine against a plain expander, on random trees, and against the seed's corpus."""

import hashlib
import io
import pickle
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.spintax import SpintaxError, Template, count_distinct, join_templates, read_templates
from tasks.spintax.distinct import Variants
from tasks.spintax.enumeration import _Blocks
from tasks.spintax.permutation import permute
from tasks.spintax.sampling import look_up, make_tables

from .oracle import Sequence, expand, reference, sequences, write

SEED = Path(__file__).parents[2] / "data" / "templates" / "cheese.spintax"
AMBIGUOUS = sequences("ab")
EXAMPLES = settings(deadline=None, derandomize=True, max_examples=150)
SPECIAL = sequences("a \\{|}\té\u0301")


@EXAMPLES
@given(SPECIAL)
def test_every_derivation_is_at_its_index_in_order(sequence: Sequence) -> None:
    template = Template.parse(write(sequence))
    expected = list(expand(sequence))
    assert template.count == len(expected)
    assert list(template) == expected
    assert [template[index] for index in range(len(expected))] == expected
    assert [template[index] for index in range(-len(expected), 0)] == expected


@EXAMPLES
@given(AMBIGUOUS)
def test_distinct_counts_the_different_strings(sequence: Sequence) -> None:
    assert Template.parse(write(sequence)).distinct == len(set(expand(sequence)))


@EXAMPLES
@given(AMBIGUOUS, st.text("ab", max_size=6))
def test_membership_agrees_with_the_list_of_variants(sequence: Sequence, other: str) -> None:
    template = Template.parse(write(sequence))
    expected = list(expand(sequence))
    for text in {*expected, other, "", other + "a"}:
        assert (text in template) == template.contains(text) == (text in expected)
        assert template.index_of(text) == (expected.index(text) if text in expected else None)


@EXAMPLES
@given(sequences("ab é"))
def test_enumeration_writes_the_variants_in_order(sequence: Sequence) -> None:
    file = io.BytesIO()
    written = Template.parse(write(sequence)).enumerate_to(file)
    expected = [text + "\n" for text in expand(sequence)]
    assert written == len(expected)
    assert file.getvalue().decode() == "".join(expected)


@EXAMPLES
@given(SPECIAL, st.integers(1, 5))
def test_blocks_of_any_size_make_the_same_lines(sequence: Sequence, limit: int) -> None:
    tree = Template.parse(write(sequence))._tree
    blocks = _Blocks(tree, [*tree.texts], ";")
    blocks.limit = limit
    made = list(blocks.walk())
    assert "".join(prefix.join(parts) for prefix, parts in made) == "".join(text + ";" for text in expand(sequence))
    assert all(len(parts) <= limit + 1 for _, parts in made)


@EXAMPLES
@given(SPECIAL)
def test_tables_hold_every_derivation(sequence: Sequence) -> None:
    template = Template.parse(write(sequence))
    tables = make_tables(template._tree)
    assert tables is not None
    assert [look_up(tables, index) for index in range(template.count)] == list(expand(sequence))


@EXAMPLES
@given(st.text("{}|\\ab", max_size=12))
def test_any_text_parses_as_the_reference_reads_it(text: str) -> None:
    expected = reference(text)
    if expected is None:
        with pytest.raises(SpintaxError) as raised:
            Template.parse(text)
        assert raised.value.code in {"unclosed", "unexpected-close"}
    elif len(expected) <= 1000:
        assert list(Template.parse(text)) == expected


@EXAMPLES
@given(AMBIGUOUS, st.integers(), st.integers(0, 310))
def test_a_draw_is_the_permuted_derivations_less_what_came_before(sequence: Sequence, seed: int, number: int) -> None:
    template = Template.parse(write(sequence))
    derivations = list(expand(sequence))
    once = list(dict.fromkeys(derivations[index] for index in permute(len(derivations), seed)))
    assert list(template.draw(number, seed)) == once[:number]
    assert list(template.draw(10**40, seed)) == once


@EXAMPLES
@given(SPECIAL, st.text("a \\{é\n", max_size=4))
def test_choices_of_a_text_are_those_of_its_lowest_derivation(sequence: Sequence, other: str) -> None:
    template = Template.parse(write(sequence))
    expected = list(expand(sequence))
    for text in {*expected, other, expected[0] + other}:
        index = template.index_of(text)
        assert index == (expected.index(text) if text in expected else None)
        assert (text in template) == (index is not None)
        assert template.choices_of(text) == (None if index is None else template.choices(index))


@EXAMPLES
@given(AMBIGUOUS)
def test_distinct_variants_are_numbered_in_sorted_order(sequence: Sequence) -> None:
    variants = Variants(Template.parse(write(sequence)).tree)
    assert [variants.text_at(index) for index in range(variants.count)] == sorted(set(expand(sequence)))


@EXAMPLES
@given(st.lists(AMBIGUOUS, min_size=1, max_size=3), st.integers(0, 9))
def test_several_templates_are_drawn_without_repetition(sequences: list[Sequence], seed: int) -> None:
    templates = [Template.parse(write(sequence)) for sequence in sequences]
    derivations = [text for sequence in sequences for text in expand(sequence)]
    once = list(dict.fromkeys(derivations[index] for index in permute(len(derivations), seed)))
    assert count_distinct(templates) == len(once)
    assert list(join_templates(templates).draw(5, seed)) == once[:5]
    assert list(join_templates(templates).draw(10**6, seed)) == once


@pytest.fixture(scope="module")
def seed_template() -> Template:
    (template,) = read_templates(SEED)
    return template


def test_seed_corpus_is_byte_for_byte_the_known_one(seed_template: Template) -> None:
    data = "".join(f"{text}\n" for text in sorted(seed_template)).encode()
    assert len(data) == 5_211_540
    assert hashlib.sha256(data).hexdigest() == "75261bb3d67b57acd038aedbcc2c76500723f4152f8c8ca618b465bcbbd32085"


def test_seed_counts_and_slots(seed_template: Template) -> None:
    assert seed_template.count == seed_template.distinct == 48_600
    assert [len(slot) for slot in seed_template.slots] == [3, 3, 5, 3, 5, 4, 3, 2, 3]
    assert seed_template.slots[7] == ("pieces", "slices")
    assert seed_template.warnings == ()


def test_seed_is_enumerated_as_it_is_iterated(seed_template: Template) -> None:
    file = io.BytesIO()
    assert seed_template.enumerate_to(file) == 48_600
    assert file.getvalue().decode() == "".join(f"{text}\n" for text in seed_template)


def test_every_seed_variant_leads_back_to_its_index(seed_template: Template) -> None:
    for index in range(0, seed_template.count, 997):
        assert seed_template.index_of(seed_template[index]) == index
    assert seed_template.index_of(seed_template[0] + " ") is None


def test_choices_name_the_option_of_each_slot(seed_template: Template) -> None:
    choices = seed_template.choices(-1)
    assert choices == (2, 2, 4, 2, 4, 3, 2, 1, 2)
    assert seed_template.choices_of(seed_template[-1]) == choices
    assert seed_template.choices_of(seed_template[-1] + "\n") is None
    template = Template.parse("{a|{b|c}}-{d|e}{f}")
    assert [template.choices(index) for index in range(3)] == [(0, 0, 0), (0, 1, 0), (1, 0, 0)]


def test_labels_of_nested_options_are_shown_as_written() -> None:
    assert Template.parse(r"x {a\||b {c|d}|} y").slots == (("a|", "b {c|d}", ""),)


@pytest.mark.parametrize("index", [3, -4, 10**40])
def test_index_outside_is_an_index_error(index: int) -> None:
    with pytest.raises(IndexError, match="3 derivations"):
        Template.parse("{a|b|c}")[index]


def test_huge_index_is_exact() -> None:
    template = Template.parse("{0|1|2|3|4|5|6|7|8|9}" * 30)
    assert template.count == template.distinct == 10**30
    assert template[123456789 * 10**20] == "0123456789"[:10] + "0" * 20
    assert template.index_of("9" * 30) == 10**30 - 1
    assert list(zip(template, range(3), strict=False))[-1][0] == "0" * 29 + "2"


def test_options_of_any_size_are_indexed() -> None:
    template = Template.parse("{" + "{a|b}" * 100 + "|c|" + "{d|e}" * 100 + "}")
    assert template.count == template.distinct == 2**101 + 1
    assert [template[index] for index in (2**100 - 1, 2**100, 2**100 + 1)] == ["b" * 100, "c", "d" * 100]
    assert template.index_of("e" * 100) == 2**101


def test_text_is_kept_verbatim() -> None:
    for text in ["e\u0301", "é", "👩‍🍳", "a\r\nb", "a\u2028b", "nul\0", " a ", "\ufeff", "\\n", ""]:
        template = Template.parse(text)
        assert list(template) == [text]
        assert template.distinct == 1
    assert Template.parse("{e\u0301|é}").distinct == 2


def test_enumeration_keeps_separators_other_than_newlines() -> None:
    file = io.BytesIO()
    Template.parse("{a\u2028b|c\0}").enumerate_to(file)
    assert file.getvalue().split(b"\n") == ["a\u2028b".encode(), b"c\0", b""]


def test_long_and_wide_templates_enumerate_in_order() -> None:
    text = "{" + "|".join(f"name{i}" for i in range(5000)) + "} {x|{y|z}{1|{2|3} }|} {" + "|".join("abcdefg" * 40) + "}"
    template = Template.parse(text)
    assert template.count == 5000 * (1 + 2 * 3 + 1) * 280
    for position, (have, index) in enumerate(zip(template, range(20_000), strict=False)):
        assert position == index
        if index % 371 == 0:
            assert have == template[index]


def test_templates_are_values() -> None:
    template = Template.parse("{a|b}", "x", 3)
    assert template == Template.parse("{a|b}", "x", 3) != Template.parse("{a|b}", "x", 4)
    assert len({template, Template.parse("{a|b}", "x", 3)}) == 1
    assert pickle.loads(pickle.dumps(template)) == template
    assert (template.text, template.name, template.line) == ("{a|b}", "x", 3)
    assert repr(template) == "Template(name='x', line=3, count=2)"
    with pytest.raises(AttributeError):
        template.count = 4  # type: ignore[misc]


def _timed(limit: float) -> "_Stopwatch":
    return _Stopwatch(limit)


class _Stopwatch:
    def __init__(self, limit: float) -> None:
        self.limit = limit

    def __enter__(self) -> None:
        self.begin = time.process_time()

    def __exit__(self, *_: object) -> None:
        assert time.process_time() - self.begin < self.limit


def test_the_deepest_nesting_is_parsed() -> None:
    template = Template.parse("{" * 100_000 + "a" + "}" * 100_000)
    assert template.count == template.distinct == 1
    assert template[0] == "a"


def test_deep_tails_are_served_too() -> None:
    template = Template.parse("{x{y" * 400 + "|}}" * 400 + "{a|b}" * 20)
    assert template.distinct is not None
    assert template[template.count - 1] in template
    assert len(list(template.draw(10, 0))) == 10


def test_ambiguity_bomb_is_counted_and_searched_at_once() -> None:
    template = Template.parse("{|a}" * 64)
    with _timed(5):
        assert template.count == 2**64
        assert template.distinct == 65
        assert template.index_of("a" * 64) == 2**64 - 1
        assert template.index_of("a") == 1
        assert template.index_of("a" * 65) is None
        assert "b" not in template
        assert sorted(template.draw(1000, 1)) == ["a" * size for size in range(65)]


def test_exponential_automaton_gives_an_unknown_count() -> None:
    hard = Template.parse("{a|b|aa|ba|c{a|b}}" + "{|a|b}" * 30 + "a" + "{|a|b}" * 30 + "{a|bb|abc}" * 30)
    with _timed(10):
        assert hard.distinct is None
    assert "fewer-distinct" not in {warning.code for warning in hard.warnings}


def test_many_groups_in_a_row_stay_linear() -> None:
    with _timed(5):
        template = Template.parse("{a|b} " * 10_000)
        assert template.count == 2**10_000
        assert template.distinct == 2**10_000
        assert template[-1] == "b " * 10_000
        assert next(template.draw(1, 0)) in template


def test_long_texts_do_not_use_up_the_states_of_distinct() -> None:
    assert Template.parse("{" + "a" * 200_000 + "|" + "b" * 200_000 + "}").distinct == 2


def test_import_brings_in_nothing_heavy() -> None:
    use = "list(tasks.spintax.Template.parse('{a|b}').draw(2, 0))"
    code = f"import sys, tasks.spintax; {use}; print('numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=SEED.parents[2])
    assert done.stdout == "False\n"


@pytest.mark.parametrize("text", ["{a|b} {c|d{e|f}} x", "{a|} {b|c}", "x", "{a.b|a+b}{|(c)} $"])
def test_begins_is_true_for_the_beginning_of_any_variant(text: str) -> None:
    template = Template.parse(text)
    variants = list(template)
    prefixes = {variant[:end] for variant in variants for end in range(len(variant) + 1)}
    letters = sorted(set("".join(variants)) | {"?"})
    for prefix in prefixes:
        assert template.begins(prefix)
        for letter in letters:
            assert template.begins(prefix + letter) == (prefix + letter in prefixes)


def test_begins_does_not_guess_where_variants_coincide() -> None:
    assert Template.parse("{a|a b}{ b|}").begins("a") is None
