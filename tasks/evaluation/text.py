"""Comparison: samples before and after, side by side, for a model card, and what all tables for people need.

What comes in: samples of the same prompts with the same seeds, in the same order. What it leaves: a Markdown table of
them that no text can break out of.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from io import StringIO

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Pair:
    """What the base model and the fine-tuned model wrote after `prompt` with `seed`."""

    prompt: str
    seed: int
    before: str
    after: str
    flags: tuple[str, ...] = ()
    """What makes the prompt's samples hard to judge, as sentences."""


def samples_markdown(pairs: Sequence[Pair]) -> str:
    """The pairs as a Markdown table for the UI; what a model wrote cannot break out of its cell."""
    lines = ["| prompt | before | after |", "| --- | --- | --- |"]
    lines += [f"| {cell(repr(pair.prompt))} | {cell(pair.before)} | {cell(pair.after)} |" for pair in pairs]
    return "\n".join(lines) + "\n"


def list_markdown(samples: Sequence[tuple[str, str]]) -> str:
    """Prompts and what was written after each, as a Markdown table for the UI."""
    lines = ["| prompt | sample |", "| --- | --- |"]
    lines += [f"| {cell(repr(prompt))} | {cell(text)} |" for prompt, text in samples]
    return "\n".join(lines) + "\n"


def plain(renderable: Table, *, width: int) -> str:
    """A table as text without colour codes."""
    console = Console(file=StringIO(), width=width, color_system=None, legacy_windows=False)
    console.print(renderable)
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def one_line(text: str) -> str:
    """One line, control characters shown as escapes: a terminal must not obey what a model wrote."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def item(text: str) -> str:
    """One line that no character of a Markdown list can be broken with; Prefect's UI decodes few entities there."""
    escaped = _without_html(text).replace("`", "&#96;")
    for char in "\\*_|[]":
        escaped = escaped.replace(char, f"\\{char}")
    return escaped


def cell(text: str) -> str:
    """One line that no character of a Markdown table can be broken with; it is shown as it is."""
    escaped = _without_html(text)
    for char in "\\`*_|[]":
        escaped = escaped.replace(char, f"&#{ord(char)};")
    return escaped


def _without_html(text: str) -> str:
    return one_line(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
