"""A corpus report as text and as Markdown."""

import re
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import pytest
from pydantic import BaseModel
from rich.cells import cell_len

from tasks.evaluation.corpus.figures import CorpusReport, Counts, Floor, Source, Split, Tokens
from tasks.evaluation.corpus.report import compute_report
from tasks.evaluation.corpus.rows import shorten
from tasks.evaluation.corpus.text import report_markdown, report_text
from tasks.spintax import Template
from tasks.units import number, percent
from tests.factories.corpus_reports import OWN, SMALL, own_source, report, seed_report, template_source
from tests.factories.hostile_text import HOSTILE, unescaped_bars

TOKENS = Tokens(
    block_size=4, train_tokens=30, eval_tokens=10, train_blocks=8, eval_blocks=3, longest_document=5,
    documents_over_block=2,
)  # fmt: skip
FLOOR = Floor(
    kind="exact", reason="", nats_per_document=1.5, bits_per_document=2.5, nats_per_word=0.5, nats_per_token=0.25,
    perplexity=1.25,
)  # fmt: skip


def full_report() -> CorpusReport:
    """A report that has every figure, which no corpus has."""
    template, other = Template.parse("{a|b} {c|d} {e|f|g} x", line=7), Template.parse("{only|one} here")
    split = Split(kind="combination", held_out=((0, (0, 1), (1, 1)),))
    made = compute_report(
        train=["a c e x", "a d e x", "only here", OWN[0]],
        evaluation=["b d e x", OWN[1]],
        templates=[template, other],
        sources=[template_source(template, 3), template_source(other, 1), own_source(2)],
        counts=Counts(
            read=10, kept=6, duplicate=1, empty=1, rejected={"long": 1, "short": 1}, train=4, evaluation=2
        ),
        split=split,
        tokens=TOKENS,
        asked=5,
        fingerprints={"corpus": "c" * 64, "tokens": "d" * 64},
        warnings=["beware"],
    )  # fmt: skip
    return made.model_copy(update={"floor": FLOOR})


def renumber(value: Any, name: str, numbers: Iterator[int], expected: dict[str, str], path: str = "") -> Any:
    """The value with every number replaced by a unique one; `expected` gets how each should be written."""
    here = f"{path}.{name}"
    if isinstance(value, BaseModel):
        fields = {key: renumber(part, key, numbers, expected, here) for key, part in value}
        return value.model_copy(update=fields)
    if isinstance(value, tuple):
        return tuple(renumber(part, name, numbers, expected, f"{here}[{index}]") for index, part in enumerate(value))
    if isinstance(value, dict):
        return {key: renumber(part, key, numbers, expected, here) for key, part in value.items()}
    if isinstance(value, int | float):
        fresh, expected[here] = fresh_number(value, name, next(numbers))
        return fresh
    return value


def fresh_number(value: float, name: str, unique: int) -> tuple[float, str]:
    if name.endswith("share"):
        return (100 + unique) / 1000, f"{(100 + unique) / 10:.1f} %"
    if name == "line":
        return 70_000 + unique, f":{70_000 + unique} "
    if isinstance(value, float):
        return 20 + unique / 100, f"{20 + unique / 100:.2f}"
    return 7_000_000 + unique, f"7,000,{unique:03}"


def leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from leaves(part)
    else:
        yield value


RENDERINGS = [report_text, report_markdown]


@pytest.mark.parametrize("render", RENDERINGS)
def test_each_number_of_the_json_is_in_text_and_markdown(render: Callable[[CorpusReport], str]) -> None:
    expected: dict[str, str] = {}
    fresh: CorpusReport = renumber(full_report(), "report", count(1), expected)
    numbers = [leaf for leaf in leaves(fresh.model_dump(mode="json")) if isinstance(leaf, int | float)]
    assert len(numbers) == len(expected) > 80
    text = " ".join(render(fresh).split())
    missing = [path for path, one in expected.items() if not re.search(rf"(?<![\d.,]){re.escape(one)}(?!\d)", text)]
    assert not missing


@pytest.mark.parametrize("render", RENDERINGS)
def test_known_figures_are_never_shown_as_unknown(render: Callable[[CorpusReport], str]) -> None:
    assert "unknown" not in render(full_report())
    assert "None" not in render(full_report())


@pytest.mark.parametrize("render", RENDERINGS)
def test_names_fingerprints_and_warnings_are_shown(render: Callable[[CorpusReport], str]) -> None:
    made = full_report()
    text = " ".join(render(made).split())
    for said in ("own.txt (text)", "template:7 (template)", "corpus: " + "c" * 64, "0" * 64, "beware",
                 made.split.measures, 'template:7 slot 1 "b" + slot 2 "d"', "1 rejected (long)"):  # fmt: skip
        assert said in text


@pytest.mark.parametrize("render", RENDERINGS)
def test_unknown_figures_are_shown_as_unknown(render: Callable[[CorpusReport], str]) -> None:
    tokens = Tokens(block_size=4, train_tokens=1, eval_tokens=1, train_blocks=1, eval_blocks=1)
    text = " ".join(render(report(["t"], ["e"], own=[own_source(2)], tokens=tokens)).split())
    assert "unknown: the entropy of text files is not known" in text
    assert "unknown in the longest" in text
    assert "no template" in text
    bound = " ".join(render(report(["a"], ["b"], "{a|a|b}")).split())
    assert "at most 0.6931 nats a document" in bound
    assert "not exact: a template has several derivations" in bound
    assert "not counted" in bound


@pytest.mark.parametrize("render", RENDERINGS)
def test_a_corpus_without_documents_has_a_report(render: Callable[[CorpusReport], str]) -> None:
    assert "0 read = 0 kept" in render(report([], []))
    assert "0 read = 0 kept" in render(report([], [], SMALL))


def test_the_text_for_the_cheese_template_fits_a_terminal() -> None:
    text = report_text(seed_report(2_000).model_copy(update={"fingerprints": {"corpus": "1" * 64}}))
    lines = text.splitlines()
    assert 25 <= len(lines) <= 38
    assert max(map(cell_len, lines)) <= 100
    assert text.isascii()
    assert not [line for line in lines if line != line.rstrip()]
    assert "31 of 31 seen" in text
    assert "423 of 423 seen" in text
    assert "10.79 nats a document = 15.57 bits; 0.57" in text


def test_the_longest_bar_is_that_of_the_fullest_bin() -> None:
    bars = re.findall(
        r"(\S+) +(\d+)  (#+)$", report_text(report(["a", "b", "c c"], ["d d d"], own=[own_source(4)])), re.M
    )
    assert bars == [("1", "2", "#" * 20), ("2", "1", "#" * 10), ("3", "1", "#" * 10), ("5", "1", "#" * 10)]


def test_the_markdown_has_a_heading_for_each_part_of_the_report() -> None:
    headings = re.findall("^#+ .*", report_markdown(full_report()), re.M)
    assert headings == [
        "# Corpus report", "## Documents", "## Length", "## Tokens", "## Option coverage", "## Split and leak",
        "## Loss floor", "## Fingerprints", "## Warnings",
    ]  # fmt: skip


def hostile_report(text: str) -> CorpusReport:
    literal = re.sub(r"([\\{|}])", r"\\\1", text.encode(errors="replace").decode())
    template = Template.parse(f"{{{literal}1|{literal}2}} {{c|d}}", name=text or "t")
    documents = list(template)
    return compute_report(
        train=documents[:1],
        evaluation=documents[3:],
        templates=[template],
        sources=[template_source(template, 2), Source(name=text, kind="text", sha256=text.encode(
            errors="replace").decode(), documents=1)],
        counts=Counts(
            read=3, kept=2, duplicate=0, empty=0, rejected={text: 1}, train=1, evaluation=1
        ),
        split=Split(kind="combination", held_out=((0, (0, 1), (1, 1)),)),
        fingerprints={text: text},
        warnings=[text, f"[red]{text}[/red]"],
    )  # fmt: skip


@pytest.mark.parametrize("text", [*HOSTILE, "\x1b[2J" * 40, "|" * 300], ids=ascii)
def test_control_characters_of_users_do_not_reach_the_terminal(text: str) -> None:
    made = report_text(hostile_report(text))
    assert all(char.isprintable() or char == "\n" for char in made)
    assert max(map(cell_len, made.splitlines())) <= 100
    assert "[red]" in made
    made.encode()


@pytest.mark.parametrize("text", [*HOSTILE, "\x1b[2J" * 40, "|" * 300], ids=ascii)
def test_text_of_users_cannot_break_out_of_its_cell(text: str) -> None:
    made = report_markdown(hostile_report(text))
    tame = report_markdown(hostile_report("tame"))
    shapes = [[(unescaped_bars(line), line[:2]) for line in one.split("\n")] for one in (made, tame)]
    warnings = shapes[1].index((3, "| "), tame.split("\n").index("## Warnings"))
    assert shapes[0][:warnings] == shapes[1][:warnings]
    assert set(shapes[0][warnings:]) == {(3, "| "), (0, "")}  # blank text gives a warning
    assert made.splitlines() == made.removesuffix("\n").split("\n")
    assert not set("<>`*[]\\_") & set(made)
    assert all(char.isprintable() or char == "\n" for char in made)
    made.encode()


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_a_hostile_report_survives_json(text: str) -> None:
    made = hostile_report(text)
    assert CorpusReport.model_validate_json(made.model_dump_json()) == made


@pytest.mark.parametrize("render", RENDERINGS)
def test_only_the_first_ten_sources_and_warnings_are_shown(render: Callable[[CorpusReport], str]) -> None:
    sources = [Source(name=f"own{index}.txt", kind="text", sha256="e", documents=1) for index in range(12)]
    text = render(report(["t"], ["e"], own=sources, warnings=[f"warning {index}." for index in range(11)]))
    assert "own9.txt" in text
    assert "own10.txt" not in text
    assert "and 2 more, in report.json" in text.replace("&#46;", ".")
    assert "warning 9." in text
    assert "warning 10." not in text
    assert "and 1 more, in report.json" in text


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (0, "0"), (999, "999"), (10**30, "1" + ",000" * 10), (10**40 - 1, "9,9" + "99,9" * 12 + "99"),
        (12_345 * 10**41, "1.23e+45"), (10**4000, "1.00e+4000"), (10.791378, "10.79"), (0.57, "0.5700"), (0.0, "0"),
        (110.0, "110"), (18.93333, "18.93"), (999.94, "999.9"), (999.96, "1,000"), (12_345.678, "12,346"),
        (2e-7, "2.000e-07"), (None, "unknown"),
    ],
)  # fmt: skip
def test_numbers_are_formatted(value: float | None, written: str) -> None:
    assert number(value) == written


def test_shares_are_formatted_in_percent() -> None:
    assert [percent(share) for share in (0.0, 0.9834, 1.0, None)] == ["0.0 %", "98.3 %", "100.0 %", "unknown"]


def test_long_names_lose_their_middle() -> None:
    assert shorten("a" * 60) == "a" * 60
    assert shorten("a" * 40 + "b" * 40) == "a" * 28 + "..." + "b" * 28


def test_the_leak_is_unknown_if_all_held_out_texts_are_too_short() -> None:
    made = report(["one two", "three"], ["four five"], own=[own_source(3)])
    assert "unknown: all 1 held-out texts have fewer than 8 words" in report_text(made)
