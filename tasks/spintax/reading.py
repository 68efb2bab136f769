"""Reads templates from files and from typed text.

In a template file (any suffix but .md and .markdown) each line is a template; a newline inside braces belongs to
the option, blank lines are skipped, and neither a byte order mark nor the end of the last line is text.
In Markdown only the blocks fenced with ```spintax or '''spintax are read, each as a template file would be.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tasks.errors import InputError
from tasks.spintax.source import Source
from tasks.spintax.template import Template

MARKDOWN = {".md", ".markdown"}

_MARK = re.compile(r"\\[\\{|}]|[{}\n]")
_OPENING = re.compile(r"([ \t]*)(`{3,}(?!.*`)|~{3,}|'{3,})[ \t]*([^\s`{]*)")
_BOM = b"\xef\xbb\xbf"


def read_templates(path: str | Path) -> list[Template]:
    """Return the templates of a file, in order, at least one.

    Raises InputError where there is no such file, no template in it or a byte that is not UTF-8, and
    SpintaxError at the first fault of a template.
    """
    text = _decode(_read(Path(path), str(path)), str(path))
    blocks = list(_fenced(text, str(path))) if Path(path).suffix.lower() in MARKDOWN else [_Block(text, 1, 1)]
    if not blocks:
        raise InputError(
            f"{path}: this Markdown file has no spintax block; put each template between a line "
            "```spintax and a line ``` (or '''spintax and ''')"
        )
    templates = [template for block in blocks for template in _split(block, str(path))]
    if not templates:
        raise InputError(f"{path}: there is no template, only blank lines; write one template per line, as {{a|b}} c")
    return templates


def parse_templates(text: str, name: str = "template") -> list[Template]:
    """Return the templates in `text`, read as a template file's; errors as read_templates."""
    templates = list(_split(_Block(text.removeprefix("\ufeff").replace("\r\n", "\n"), 1, 1), name))
    if not templates:
        raise InputError(f"{name}: there is no template, only blank lines; write one template per line, as {{a|b}} c")
    return templates


class _Block(NamedTuple):
    """Text with the line and the column at which it begins."""

    text: str
    line: int
    column: int


def _read(path: Path, name: str) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise InputError(f"{name}: there is no such file; give the path of a template or Markdown file") from error
    except IsADirectoryError as error:
        raise InputError(f"{name}: this is a folder; give the path of a template or Markdown file in it") from error
    except (OSError, ValueError) as error:
        raise InputError(f"{name}: the file cannot be read ({error}); give a path that can") from error


def _decode(data: bytes, name: str) -> str:
    r"""Decode strictly; "\r\n" becomes "\n", so a file means the same on every system."""
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        guess = ", it looks like UTF-16" if data[:2] in {b"\xff\xfe", b"\xfe\xff"} else ""
        raise InputError(
            f"{name}:{line}: byte {data[error.start]:#04x} at byte offset {error.start} is not UTF-8{guess}; "
            "save the file as UTF-8"
        ) from error
    return text.removeprefix("\ufeff").replace("\r\n", "\n")


def _split(block: _Block, name: str) -> Iterator[Template]:
    """Parse each line at brace depth 0."""
    begin, line = 0, block.line
    for end in [*_line_ends(block.text), len(block.text)]:
        text = block.text[begin:end]
        if text.strip():
            yield Template.from_source(Source(text, name, line, block.column))
        line += text.count("\n") + 1
        begin = end + 1


def _line_ends(text: str) -> Iterator[int]:
    depth = 0
    for mark in _MARK.finditer(text):
        if mark.group() == "{":
            depth += 1
        elif mark.group() == "}":
            depth = max(0, depth - 1)
        elif mark.group() == "\n" and not depth:
            yield mark.start()


def _fenced(text: str, name: str) -> Iterator[_Block]:
    """Yield the insides of spintax fences, without the fence's indentation; other fenced blocks are skipped."""
    lines = text.split("\n")
    number = 0
    while number < len(lines):
        opening = _OPENING.match(lines[number])
        number += 1
        if opening is None or (opening[2][0] == "'" and opening[3].lower() != "spintax"):
            continue
        begin = number
        while number < len(lines) and not _closes(lines[number], opening[2]):
            number += 1
        if opening[3].lower() == "spintax":
            if number == len(lines):
                raise InputError(
                    f"{name}:{begin}: this {opening[2]}spintax block is never closed; add a line {opening[2]} after it"
                )
            indent = opening[1]
            inside = [line.removeprefix(indent) for line in lines[begin:number]]
            yield _Block("\n".join(inside), begin + 1, len(indent) + 1)
        number += 1


def _closes(line: str, fence: str) -> bool:
    stripped = line.strip()
    return len(stripped) >= len(fence) and set(stripped) == {fence[0]}
