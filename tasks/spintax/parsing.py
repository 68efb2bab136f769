r"""Reads spintax into a tree in one pass, without recursion.

template = sequence                       ; a '|' out here is literal
sequence = { text | escape | group }
group    = "{" option { "|" option } "}"  ; exactly one is chosen
option   = sequence                       ; may be empty; white space and newlines verbatim
escape   = "\" ( "\" | "{" | "|" | "}" )  ; any other backslash is literal
"""

import re

from tasks.spintax.errors import SpintaxError
from tasks.spintax.nodes import GROUP, SEQUENCE, Nodes
from tasks.spintax.source import Source
from tasks.spintax.tree import Tree

MAX_DEPTH = 100_000
"""Groups may be nested this deep."""

_PIECE = re.compile(r"[{|}]|(?:[^{|}\\]+|\\[\\{|}]?)++")
_ESCAPE = re.compile(r"\\([\\{|}])")


def parse(source: Source) -> Tree:
    """Return the tree of `source`.

    Raises SpintaxError `not-unicode`, `unclosed`, `unexpected-close`, `too-deep` or `too-many`.
    """
    _refuse_surrogates(source)
    nodes = _read(source)
    if "\\" in source.text:
        nodes.texts = [_ESCAPE.sub(r"\1", text) if "\\" in text else text for text in nodes.texts]
    return Tree(nodes, source)


def _read(source: Source) -> Nodes:
    """Make the nodes in one loop with few calls: a template can have millions. Texts are not unescaped."""
    pieces = _PIECE.findall(source.text)
    nodes = Nodes(2 * pieces.count("{") + len(pieces) + 2)
    add, begins, ends, stops = nodes.add, nodes.begins, nodes.ends, nodes.stops
    open_nodes = [add(SEQUENCE, 0, 0)]  # node 0, then groups and options in turn
    outside: list[str] = []  # text outside all groups is joined, as a '|' in it is text too
    position = 0
    for piece in pieces:
        if piece == "{":
            if outside:
                outside = nodes.add_outside(outside, position)
            if len(open_nodes) > 2 * MAX_DEPTH:
                raise _too_deep(source, position)
            group = add(GROUP, open_nodes[-1], position)
            open_nodes += (group, add(SEQUENCE, group, position + 1))
        elif len(open_nodes) == 1:
            if piece == "}":
                raise _unexpected_close(source, position)
            outside.append(piece)
        elif piece == "}":
            option, group = open_nodes.pop(), open_nodes.pop()
            ends[option], ends[group] = position, position + 1
            stops[option] = stops[group] = len(begins)
        elif piece == "|":
            option = open_nodes.pop()
            ends[option], stops[option] = position, len(begins)
            open_nodes.append(add(SEQUENCE, open_nodes[-1], position + 1))
        else:
            nodes.add_text(open_nodes[-1], position, piece)
        position += len(piece)
    if len(open_nodes) > 1:
        raise _unclosed(source, begins[open_nodes[1]])
    return nodes.finish(outside, position)


def _too_deep(source: Source, offset: int) -> SpintaxError:
    message = f"more than {MAX_DEPTH:,} groups are nested here"
    return source.error("too-deep", message, r"close some, or write \{ for a literal '{'", offset)


def _unexpected_close(source: Source, offset: int) -> SpintaxError:
    hint = r"add '{' before it, or write \} for a literal '}'"
    return source.error("unexpected-close", "this '}' closes no group", hint, offset)


def _unclosed(source: Source, offset: int) -> SpintaxError:
    return source.error("unclosed", "this '{' is never closed", r"add '}', or write \{ for a literal '{'", offset)


def _refuse_surrogates(source: Source) -> None:
    try:
        source.text.encode()
    except UnicodeEncodeError as error:
        code = ord(source.text[error.start])
        message = f"the code point U+{code:04X} is half of a surrogate pair, which UTF-8 cannot hold"
        raise source.error("not-unicode", message, "remove it, or read the text as UTF-8", error.start) from error
