"""Markup: HTML elements from Python, in which every text is escaped unless it is markup already.

What comes in: names, attributes and parts. What it leaves: `Html`. A text is shown as it is: it can neither become
markup nor hide or turn round what stands beside it, as a control character could.
"""

from html import escape


class Html(str):
    """Markup that may stand in a page as it is."""

    __slots__ = ()


def tag(name: str, *parts: str, **attributes: str) -> Html:
    """An element; an attribute's trailing underscore is dropped and others are hyphens; an empty one is left out."""
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{text(value)}"' for key, value in attributes.items() if value
    )
    return Html(f"<{name}{given}>{join(*parts)}</{name}>")


def join(*parts: str, between: str = "") -> Html:
    """The parts one after the other."""
    return Html(text(between).join(map(text, parts)))


def text(part: str) -> Html:
    """The part, escaped unless it is markup; line ends stay, other characters that do not print are written out."""
    if isinstance(part, Html):
        return part
    shown = (one if one.isprintable() or one == "\n" else one.encode("unicode_escape").decode() for one in part)
    return Html(escape("".join(shown)))


def table(head: tuple[str, ...], rows: list[tuple[str, ...]], *, class_: str = "") -> Html:
    """A table in a box of its own, which scrolls where there is no room; the first cell of a row is its heading."""
    heads = tag("thead", tag("tr", *(tag("th", one, scope="col") for one in head))) if head else Html()
    body = [tag("tr", tag("th", row[0], scope="row"), *(tag("td", one) for one in row[1:])) for row in rows]
    box = tag("table", heads, tag("tbody", *body), class_=class_)
    return tag("div", box, class_="scroll", tabindex="0")
