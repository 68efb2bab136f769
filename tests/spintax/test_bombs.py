"""Templates made to hurt: nested 100,000 deep, doubling, ambiguous. Each ends soon and in bounded memory.

Every case runs in a process of its own, which may not take more than 700 MB of addresses in all. Times are bounded
with ample room: what is held against is a loop over all pairs of 100,000 nodes, which takes minutes.
"""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DEPTH = 100_000

PROLOGUE = """
import itertools, resource, sys
resource.setrlimit(resource.RLIMIT_AS, (700_000_000, 700_000_000))
from tasks.spintax import SpintaxError, Template
N = 100_000

class Sink:
    size = 0
    def write(self, data):
        self.size += len(data)

def code_of(work, *given):
    try:
        work(*given)
    except SpintaxError as error:
        return error.code

"""

EVERYTHING = """
template = Template.parse(text)
assert template.count == count, template.count
assert template.distinct in (distinct, None), template.distinct
assert template[0] == first
assert template[-1] == last
for option in (first, last):
    assert option in template
    assert template.choices_of(option) == template.choices(template.index_of(option))
assert template[template.index_of(last)] == last
assert first + last + "?" not in template
assert len(template.slots) == 1
assert len(template.warnings) <= 30_001
assert next(iter(template)) == first
assert len(set(template.draw(2, 0))) == min(2, distinct)
if count < 10:
    sink = Sink()
    assert template.enumerate_to(sink) == count
    assert sink.size == count * (len(first) + 1)
"""


LEFT, RIGHT = "'x' * (N - 1) + ", " + 'y' * (N - 1)"


def _run(code: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROLOGUE + code], capture_output=True, text=True, check=False, cwd=ROOT, timeout=100
    )
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "count", "distinct", "first", "last"),
    [
        pytest.param("'{' * N + 'a' + '}' * N", "1", "1", "'a'", "'a'", marks=pytest.mark.slow),
        pytest.param("'{a|' * N + 'a' + '}' * N", "N + 1", "1", "'a'", "'a'", marks=pytest.mark.slow),
        pytest.param("'{' * N + 'a' + '|b}' * N", "N + 1", "2", "'a'", "'b'", marks=pytest.mark.slow),
        pytest.param("'{x' * N + 'a' + '}' * N", "1", "1", "'x' * N + 'a'", "'x' * N + 'a'", marks=pytest.mark.slow),
        pytest.param("'{a|b' * N + '}' * N", "N + 1", "N + 1", "'a'", "'b' * N", marks=pytest.mark.slow),
        ("'{' * (N - 1) + '{|a}' * 64 + '}' * (N - 1)", "2**64", "65", "''", "'a' * 64"),
        ("'{x' * (N - 1) + '{a|b|c}' + 'y}' * (N - 1)", "3", "3", LEFT + "'a'" + RIGHT, LEFT + "'c'" + RIGHT),
        ("'{x|' * 40_000 + '{a|b}' * 5000 + '}' * 40_000", "40_000 + 2**5000", "1 + 2**5000", "'x'", "'b' * 5000"),
    ],
)
def test_deepest_nesting_is_served_by_every_operation(
    text: str, count: str, distinct: str, first: str, last: str
) -> None:
    _run(f"text, count, distinct, first, last = {text}, {count}, {distinct}, {first}, {last}\n" + EVERYTHING)


@pytest.mark.slow
def test_deepest_nesting_is_written_out() -> None:
    _run(
        """
for text, size in [
    ("{" * N + "a" + "}" * N, 2), ("{x" * N + "a" + "}" * N, N + 2), ("{a|" * N + "a" + "}" * N, 2 * N + 2),
    ("{" * N + "a" + "|b}" * N, 2 * N + 2), ("{x" * (N - 1) + "{a|b}" * 6 + "}" * (N - 1), 64 * (N + 6)),
]:
    sink = Sink()
    template = Template.parse(text)
    assert template.enumerate_to(sink) == template.count
    assert sink.size == size, sink.size
template = Template.parse("{a|b" * N + "}" * N)
assert list(itertools.islice(template, 20)) == ["b" * size + "a" for size in range(20)]
assert list(Template.parse("{a|b" * 500 + "}" * 500)) == ["b" * size + "a" for size in range(500)] + ["b" * 500]
"""
    )


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("'{' * (N + 1) + '}' * (N + 1)", "too-deep"),
        ("'{a|' * (10 * N)", "too-deep"),
        ("'{' * N", "unclosed"),
        ("'{}' * N + '}'", "unexpected-close"),
        ("'{{a|b}{a|b}|{c|d}}' * N", "too-many"),
        ("'{a|b' * (N - 1) + '{a|b}' * N + '}' * (N - 1)", "too-many"),
        ("'{a|' * 85_000 + '{a|b}' * 13_000 + '}' * 85_000", "too-many"),
    ],
)
def test_bombs_are_one_clear_error(text: str, code: str) -> None:
    _run(f"assert code_of(Template.parse, {text}) == {code!r}")


@pytest.mark.slow
def test_state_explosions_end_as_unknown() -> None:
    _run(
        """
hard = "{a|b|aa|ba|c{a|b}}" + "{|a|b}" * 30 + "a" + "{|a|b}" * 30 + "{a|bb|abc}" * 30
for text in (hard, "{|a|b}" * 2000):
    template = Template.parse(text)
    assert template.distinct is None
    assert "fewer-distinct" not in {warning.code for warning in template.warnings}
    assert len(list(template.draw(3, 0))) == 3
import tasks.spintax.membership
tasks.spintax.membership.MAX_POSITIONS = 50_000
assert code_of(Template.parse("{|a}" * 1500).contains, "a" * 1499 + "b") == "too-many"
"""
    )


@pytest.mark.slow
def test_long_templates_stay_linear() -> None:
    _run(
        """
text = "abc " * 250_000
template = Template.parse(text)
assert template.count == template.distinct == 1
assert list(template) == list(template.draw(2, 0)) == [text]
assert template.warnings == () and text in template
template = Template.parse("{a}" * 100_000)
assert template.count == template.distinct == 1
assert template[0] == "a" * 100_000 and template[0] in template
assert len(template.slots) == 100_000 and len(template.warnings) == 10_000
template = Template.parse("a|" * 300_000)
assert template[0] == "a|" * 300_000
"""
    )


def test_enumeration_keeps_no_prefix_for_each_level() -> None:
    _run(
        """
template = Template.parse("{x" * 90_000 + "a" + "{|y}}" * 10_000 + "}" * 80_000)
assert list(itertools.islice(template, 2)) == ["x" * 90_000 + "a", "x" * 90_000 + "ay"]
"""
    )
