"""Errors and warnings: codes, places, and what the person sees."""

import io
import pickle

import pytest

from tasks.errors import InputError
from tasks.spintax import SpintaxError, SpintaxWarning, Template, parse_templates
from tasks.spintax.errors import excerpt


def _error(text: str) -> SpintaxError:
    with pytest.raises(SpintaxError) as raised:
        Template.parse(text, "t.spintax", 7)
    return raised.value


@pytest.mark.parametrize(
    ("text", "code", "line", "column"),
    [
        ("a {b|c", "unclosed", 7, 3),
        ("{a\nb|{c}\n", "unclosed", 7, 1),
        ("{a|\n\n  {b} } }", "unexpected-close", 9, 9),
        ("x{a|{b|\n{c}", "unclosed", 7, 2),
        ("a}", "unexpected-close", 7, 2),
        (r"\\}", "unexpected-close", 7, 3),
        ("é👩‍🍳}", "unexpected-close", 7, 5),
        ("a" + "{" * 100_001 + "}" * 100_001, "too-deep", 7, 100_002),
        ("ab{0|1|2|3|4|5|6|7|8|9}" + "{0|1|2|3|4|5|6|7|8|9}" * 4000, "too-many", 7, 3 + 21 * 4000),
        ("ok \ud800", "not-unicode", 7, 4),
    ],
)
def test_errors_have_a_code_a_line_and_a_column(text: str, code: str, line: int, column: int) -> None:
    error = _error(text)
    assert isinstance(error, InputError)
    assert (error.code, error.line, error.column, error.name) == (code, line, column, "t.spintax")
    sentence = str(error).split("\n")[0]
    assert sentence == f"t.spintax:{line}:{column}: {error.message}; {error.hint}"


def test_largest_count_parses_and_prints() -> None:
    template = Template.parse("{0|1|2|3|4|5|6|7|8|9}" * 4000)
    assert str(template.count) == "1" + "0" * 4000
    assert template[-1] == "9" * 4000


def test_error_shows_the_line_and_a_caret() -> None:
    assert str(_error("a {b|c")) == (
        "t.spintax:7:3: this '{' is never closed; add '}', or write \\{ for a literal '{'\na {b|c\n  ^"
    )


def test_picture_is_the_line_and_the_caret() -> None:
    error = _error("\ta {b|c")
    assert error.picture == "\ta {b|c\n\t  ^"
    assert str(error).endswith(f"\n{error.picture}")


def test_error_in_an_option_of_several_lines_shows_its_own_line() -> None:
    assert str(_error("{a|\n\tb}\n}c")).split("\n")[1:] == ["}c", "^"]


def test_caret_lines_up_below_tabs_and_wide_characters() -> None:
    assert excerpt("\ta\tb}", 4) == "\ta\tb}\n\t \t ^"
    assert excerpt("日e\u0301}", 3) == "日e\u0301}\n   ^"


def test_long_lines_are_cut_to_a_window() -> None:
    line = "x" * 300 + "}" + "y" * 300
    shown, caret = excerpt(line, 300).split("\n")
    assert len(shown) == 102
    assert shown[0] == shown[-1] == "…"
    assert shown[caret.index("^")] == "}"
    shown, caret = excerpt(line[:301], 300).split("\n")
    assert shown == "…" + "x" * 99 + "}"
    assert caret.index("^") == 100
    assert excerpt("{" + "y" * 300, 0).split("\n") == ["{" + "y" * 99 + "…", "^"]


def test_control_characters_are_shown_as_pictures() -> None:
    assert excerpt("a\0\x1b\u2028}", 4) == "a␀␛\N{REPLACEMENT CHARACTER}}\n    ^"


def test_errors_survive_pickling() -> None:
    error = _error("a {b|c")
    copy = pickle.loads(pickle.dumps(error))
    assert str(copy) == str(error)
    assert (copy.code, copy.hint, copy.line, copy.column) == (error.code, error.hint, 7, 3)


@pytest.mark.parametrize(
    ("text", "line", "column"), [("{a|b\nc}", 1, 5), ("a\\{{b|\rc}", 1, 7), ("{a|{x|y}\r\nb}", 1, 9)]
)
def test_variants_of_two_lines_are_not_written_one_per_line(text: str, line: int, column: int) -> None:
    file = io.BytesIO()
    template = Template.parse(text)
    with pytest.raises(SpintaxError) as raised:
        template.enumerate_to(file)
    assert (raised.value.code, raised.value.line, raised.value.column) == ("newline-in-line-output", line, column)
    assert file.getvalue() == b""
    with pytest.raises(SpintaxError, match="line break"):
        template.check_single_line()


def test_too_many_lines_are_refused_before_writing(monkeypatch: pytest.MonkeyPatch) -> None:
    file = io.BytesIO()
    with pytest.raises(SpintaxError, match="at most 1,000,000,000 are written"):
        Template.parse("{a|b}" * 30).enumerate_to(file)
    monkeypatch.setattr("tasks.spintax.enumeration.MAX_LINES", 2)
    with pytest.raises(SpintaxError) as raised:
        Template.parse("{a|b|c}").enumerate_to(file)
    assert raised.value.code == "too-many"
    assert file.getvalue() == b""
    assert Template.parse("{a|b}").enumerate_to(file) == 2


def _found(text: str) -> list[tuple[str, int]]:
    warnings = Template.parse(text).warnings
    assert all(isinstance(warning, SpintaxWarning) and warning.line == 1 for warning in warnings)
    return [(warning.code, warning.column) for warning in warnings]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{a|b} and {c|d}, \\{x\\|y\\} \\\\", []),
        ("Dear {name}", [("one-option", 6)]),
        ("Dear {{FirstName}}", [("one-option", 6)]),
        ("{{a}b}", [("one-option", 1), ("one-option", 2)]),
        ("{ {a}|b}", [("one-option", 3)]),
        ("{a|{b}}", [("one-option", 4)]),
        ("{{a}|b}", [("one-option", 2)]),
        ("{{a|b}}", [("one-option", 1)]),
        ("{}x", [("empty-group", 1)]),
        ("{a|b|a|a}", [("fewer-distinct", 1), ("repeated-option", 6)]),
        ("{||a}", [("fewer-distinct", 1), ("repeated-option", 3)]),
        (r"{\\x|\x}", [("fewer-distinct", 1), ("unknown-escape", 6), ("repeated-option", 6)]),
        ("{a{b|c}|a{b|c}|{b|c}a}", [("fewer-distinct", 1), ("repeated-option", 9)]),
        ("a|b", [("bar-outside-group", 2)]),
        ("{a|b}|{c|d}", [("bar-outside-group", 6)]),
        ("{4-6}", [("looks-like-range", 1)]),
        ("x{1,5}", [("looks-like-range", 2)]),
        ("{3,}", [("looks-like-range", 1)]),
        (r"a\nb", [("unknown-escape", 2)]),
        (r"{a|\\\b}", [("unknown-escape", 6)]),
        ("a\\", [("unknown-escape", 2)]),
        ("a  b", [("doubled-space", 2)]),
        ("a {very|} good", [("doubled-space", 2)]),
        ("a { b|c}", [("doubled-space", 2)]),
        ("a{b |c} d", [("doubled-space", 4)]),
        ("a {very |}good", []),
        ("{a|ab}{b|}", [("fewer-distinct", 1)]),
    ],
)
def test_what_is_seldom_meant_gives_a_warning(text: str, expected: list[tuple[str, int]]) -> None:
    assert _found(text) == expected


def test_warning_says_what_and_where() -> None:
    (warning,) = Template.parse("Dear\n{name}", line=4).warnings
    assert (warning.line, warning.column) == (5, 1)
    assert str(warning).startswith("5:1: '{name}' has one option")
    (fewer,) = Template.parse("{a|ab}{b|}").warnings
    assert "4 derivations give only 3 distinct" in fewer.message


def test_warnings_of_long_options_stay_short() -> None:
    (warning,) = Template.parse("{" + "long " * 100 + "}.").warnings
    assert len(warning.message) < 160


def test_typed_text_is_read_like_a_file() -> None:
    one, two = parse_templates("\ufeff{a|b}\r\n\r\n{c|\r\nd}\r\n", "the form")
    assert (one.text, one.line, one.name) == ("{a|b}", 1, "the form")
    assert (two.text, two.line) == ("{c|\nd}", 3)
    with pytest.raises(InputError, match="the form: there is no template"):
        parse_templates(" \n\n", "the form")
