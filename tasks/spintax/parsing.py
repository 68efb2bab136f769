r"""Reads spintax into a tree in one pass, without recursion.

    template = sequence                       ; a '|' out here is literal
    sequence = { text | escape | group }
    group    = "{" option { "|" option } "}"  ; exactly one is chosen
    option   = sequence                       ; may be empty; white space and newlines verbatim
    escape   = "\" ( "\" | "{" | "|" | "}" )  ; any other backslash is literal

What comes in: a source. What it leaves: its tree, or a SpintaxError at the brace that is wrong.
"""

import re

from tasks.spintax.source import Source
from tasks.spintax.tree import Node, Tree

MAX_DEPTH = 1000
"""Groups may stand inside one another this deep."""

MARK = re.compile(r"\\[\\{|}]|[{|}]")
"""An escape, or one of the three characters that mean something."""


def parse(source: Source) -> Tree:
    """Return the tree of `source`.

    Raises SpintaxError `not-unicode`, `unclosed`, `unexpected-close`, `too-deep` or `too-many`.
    """
    _refuse_surrogates(source)
    parser = _Parser(source)
    for mark in MARK.finditer(source.text):
        parser.take(mark.group(), mark.start())
    return Tree(parser.finish(), source)


class _Parser:
    """The nodes so far, the open groups, and the text that is being gathered."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.nodes = [Node("sequence", 0)]
        self.groups: list[int] = []
        self.sequences = [0]
        self.pieces: list[str] = []
        self.text_begin = 0
        self.position = 0

    def take(self, mark: str, begin: int) -> None:
        """Take the text before the mark at `begin`, then the mark."""
        self._gather(self.source.text[self.position : begin], self.position)
        self.position = begin + len(mark)
        if len(mark) == 2:
            self._gather(mark[1], begin)
        elif mark == "{":
            self._open(begin)
        elif mark == "}":
            self._close(begin)
        elif self.groups:
            self._end_sequence(begin)
            self._begin_option(begin + 1)
        else:
            self._gather(mark, begin)

    def finish(self) -> list[Node]:
        """Take the rest of the text and return all nodes."""
        end = len(self.source.text)
        self._gather(self.source.text[self.position :], self.position)
        if self.groups:
            begin = self.nodes[self.groups[0]].begin
            hint = r"add '}', or write \{ for a literal '{'"
            raise self.source.error("unclosed", "this '{' is never closed", hint, begin)
        self._end_sequence(end)
        return self.nodes

    def _gather(self, piece: str, begin: int) -> None:
        if not piece:
            return
        if not self.pieces:
            self.text_begin = begin
        self.pieces.append(piece)

    def _flush(self, end: int) -> None:
        """Make a node of the text gathered up to `end`."""
        if self.pieces:
            self._add(Node("text", self.text_begin, end, "".join(self.pieces)), self.sequences[-1])
            self.pieces = []

    def _add(self, node: Node, parent: int) -> int:
        self.nodes[parent].children.append(len(self.nodes))
        self.nodes.append(node)
        return len(self.nodes) - 1

    def _open(self, begin: int) -> None:
        if len(self.groups) == MAX_DEPTH:
            message = f"more than {MAX_DEPTH:,} groups stand inside one another here"
            raise self.source.error("too-deep", message, r"close some, or write \{ for a literal '{'", begin)
        self._flush(begin)
        self.groups.append(self._add(Node("group", begin), self.sequences[-1]))
        self._begin_option(begin + 1)

    def _begin_option(self, begin: int) -> None:
        self.sequences.append(self._add(Node("sequence", begin), self.groups[-1]))

    def _end_sequence(self, end: int) -> None:
        self._flush(end)
        self.nodes[self.sequences.pop()].end = end

    def _close(self, begin: int) -> None:
        if not self.groups:
            hint = r"add '{' before it, or write \} for a literal '}'"
            raise self.source.error("unexpected-close", "this '}' closes no group", hint, begin)
        self._end_sequence(begin)
        self.nodes[self.groups.pop()].end = begin + 1


def _refuse_surrogates(source: Source) -> None:
    try:
        source.text.encode()
    except UnicodeEncodeError as error:
        code = ord(source.text[error.start])
        message = f"the code point U+{code:04X} is half of a surrogate pair, which UTF-8 cannot hold"
        raise source.error("not-unicode", message, "remove it, or read the text as UTF-8", error.start) from error
