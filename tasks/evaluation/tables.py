"""Tables, as Markdown for the UI and as text for a terminal."""

from collections.abc import Iterable, Sequence
from io import StringIO

from rich.console import Console, RenderableType

from tasks.evaluation.text import markdown_cell


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]], *, rule: str = "---") -> str:
    """A Markdown table that no text can break out of; `rule` is the line below a head, `---:` aligns to the right."""
    lines = [head, [rule] * len(head), *rows]
    return "".join(f"| {' | '.join(map(markdown_cell, line))} |\n" for line in lines)


def render_text(renderable: RenderableType, *, width: int, colour: bool = False) -> str:
    """What Rich renders, as lines of at most `width` columns without blanks at their ends; colour codes on request."""
    console = Console(
        file=StringIO(), width=width, color_system="standard" if colour else None, force_terminal=colour,
        legacy_windows=False,
    )  # fmt: skip
    with console.capture() as capture:
        console.print(renderable)
    return "".join(f"{line.rstrip()}\n" for line in capture.get().splitlines())
