"""Comparison: samples before and after, side by side, for the terminal and for the UI.

What comes in: samples of the same prompts with the same seeds, in the same order. What it leaves: a table of them, as
text or as Markdown, in which every prompt stands once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from io import StringIO
from itertools import groupby

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text


@dataclass(frozen=True)
class Pair:
    """What the base model and the fine-tuned model wrote after `prompt` with `seed`."""

    prompt: str
    seed: int
    before: str
    after: str


def samples_table(pairs: Sequence[Pair], *, width: int = 100) -> str:
    """The pairs as a table of `width` columns in plain text, a prompt's name beside its first sample."""
    table = Table(box=box.ASCII2, width=width, show_lines=False)
    table.add_column("prompt", ratio=2, overflow="fold")
    table.add_column("before", ratio=4, overflow="fold")
    table.add_column("after", ratio=4, overflow="fold")
    for prompt, group in groupby(pairs, key=lambda pair: pair.prompt):
        for number, pair in enumerate(group):
            table.add_row(
                Text(repr(prompt) if number == 0 else ""), Text(one_line(pair.before)), Text(one_line(pair.after))
            )
        table.add_section()
    return plain(table, width=width)


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


def cell(text: str) -> str:
    """One line that no character of a Markdown table can be broken with; it is shown as it is."""
    escaped = one_line(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    for char in "\\`*_|[]":
        escaped = escaped.replace(char, f"&#{ord(char)};")
    return escaped
