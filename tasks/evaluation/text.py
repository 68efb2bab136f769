"""Escaping: text that a terminal or a Markdown page shows verbatim and never obeys."""


class Markdown(str):
    """Text that is Markdown already and is not escaped again."""

    __slots__ = ()


def one_line(text: str) -> str:
    """One line, with control characters as escapes, for a terminal."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def markdown_item(text: str) -> str:
    """One line for a Markdown list or heading; with backslashes, since Prefect's UI decodes few entities there."""
    escaped = _without_html(text).replace("`", "&#96;")
    for char in "\\*_|[]":
        escaped = escaped.replace(char, f"\\{char}")
    return escaped


def markdown_cell(text: str) -> Markdown:
    """One line for a cell of a Markdown table, shown verbatim; `Markdown` stays as it is."""
    if isinstance(text, Markdown):
        return text
    escaped = _without_html(text)
    for char in "\\`*_|[]":
        escaped = escaped.replace(char, f"&#{ord(char)};")
    return Markdown(escaped)


def markdown_code(text: str) -> Markdown:
    """One line of code for a cell of a Markdown table."""
    return Markdown(f"<code>{markdown_cell(text)}</code>")


def _without_html(text: str) -> str:
    return one_line(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
