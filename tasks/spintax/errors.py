"""The error and the warning for the person who writes a template, with line and column.

Lines and columns count from 1; a column is one code point.
"""

import unicodedata
from dataclasses import dataclass
from typing import NamedTuple

from tasks.errors import InputError

WINDOW = 100
"""How many code points of a long line are shown around the column."""


class Location(NamedTuple):
    """A code point of a template: its name, line and column, the whole line and its 0-based offset in that line."""

    name: str
    line: int
    column: int
    shown: str
    offset: int


class SpintaxError(InputError):
    """A template that cannot be used, with the location of the fault.

    Codes: `unclosed`, `unexpected-close`, `too-deep`, `too-many`, `newline-in-line-output`, `not-unicode`.
    `str()` is `name:line:column: message; hint`, then the `picture`: the shown line, and a caret below the column.
    Can be pickled.
    """

    def __init__(self, code: str, message: str, hint: str, location: Location) -> None:
        """Take what `str()` needs; `code` is for programs."""
        super().__init__(code, message, hint, location)
        self.code = code
        self.message = message
        self.hint = hint
        self.name = location.name
        self.line = location.line
        self.column = location.column
        self.picture = excerpt(location.shown, location.offset)

    def __str__(self) -> str:
        return f"{self.name}:{self.line}:{self.column}: {self.message}; {self.hint}\n{self.picture}"


@dataclass(frozen=True, slots=True)
class SpintaxWarning:
    """Something legal in a template that is seldom meant.

    Codes: `one-option`, `empty-group`, `repeated-option`, `bar-outside-group`, `looks-like-range`,
    `unknown-escape`, `doubled-space`, `fewer-distinct`.
    """

    code: str
    message: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.line}:{self.column}: {self.message}"


def excerpt(line: str, offset: int) -> str:
    """Return `line`, cut to a window around `offset`, and below it a caret under that code point."""
    begin = max(0, min(offset - WINDOW // 2, len(line) - WINDOW))
    shown = line[begin : begin + WINDOW]
    left = "…" if begin else ""
    right = "…" if begin + WINDOW < len(line) else ""
    indent = left + line[begin:offset]
    return f"{left}{_visible(shown)}{right}\n{''.join(map(_blank, indent))}^"


def _visible(text: str) -> str:
    """Replace each control character and line separator by one visible character; tabs stay."""
    return "".join(map(_picture, text))


def _picture(char: str) -> str:
    if char == "\t" or unicodedata.category(char) not in {"Cc", "Cs", "Zl", "Zp"}:
        return char
    return chr(0x2400 + ord(char)) if char < " " else "\N{REPLACEMENT CHARACTER}"


def _blank(char: str) -> str:
    """Return white space as wide as `char` is on a terminal."""
    if char == "\t":
        return "\t"
    if unicodedata.category(char) in {"Mn", "Me", "Cf"}:
        return ""
    return "  " if unicodedata.east_asian_width(char) in "WF" else " "
