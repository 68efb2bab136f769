"""The nodes of a template as flat columns in reading order, and the count of derivations of each node.

A parent comes before its children, node 0 is the whole template, and a child's number is its parent's plus one or the
`stop` of the child before it. A column is an array of 4-byte numbers where that is possible: a template of a million
groups takes some 100 MB.
"""

from array import array

from tasks.spintax.errors import SpintaxError
from tasks.spintax.source import Source

TEXT, SEQUENCE, GROUP = range(3)
"""Kinds of nodes: a text is never empty, a sequence is of texts and groups, a group is of sequences, its options."""

MAX_DIGITS = 4000
"""A count may have this many digits: Python refuses to print integers of more than 4,300."""

MAX_COUNT_BYTES = 100_000_000
"""The memory that all counts of a template may take: only one nested deeply around a huge count takes more."""

_LIMIT: int = 10**MAX_DIGITS
_SMALL = 1 << 64


class Nodes:
    """The columns: `begins` and `ends` are offsets into the source, a group's include its braces.

    `stops` are one past the last node of each subtree, `texts` what a text prints ("" for other nodes).
    """

    def __init__(self, capacity: int) -> None:
        """Make the columns; `capacity` is the largest number of nodes."""
        self.kinds = bytearray()
        self.parents = array("I")
        self.begins = array("I")
        self.texts: list[str] = []
        self.ends = array("I", bytes(4 * capacity))
        self.stops = array("I", bytes(4 * capacity))

    def add(self, kind: int, parent: int, begin: int, text: str = "") -> int:
        """Append a node and return its number; its end and stop are set when it is closed."""
        self.kinds.append(kind)
        self.parents.append(parent)
        self.begins.append(begin)
        self.texts.append(text)
        return len(self.kinds) - 1

    def add_text(self, parent: int, begin: int, text: str) -> None:
        """Append a text, whose source is as long as it is."""
        node = self.add(TEXT, parent, begin, text)
        self.ends[node] = begin + len(text)
        self.stops[node] = node + 1

    def add_outside(self, pieces: list[str], end: int) -> list[str]:
        """Append the text outside all groups that these pieces make, and return the pieces of the next."""
        text = "".join(pieces)
        self.add_text(0, end - len(text), text)
        return []

    def finish(self, outside: list[str], end: int) -> "Nodes":
        """Append the last text, close node 0, free unused memory, and return all nodes."""
        if outside:
            self.add_outside(outside, end)
        self.ends[0], self.stops[0] = end, len(self.kinds)
        del self.ends[len(self.kinds) :]
        del self.stops[len(self.kinds) :]
        return self


def count_derivations(nodes: Nodes, source: Source) -> list[int]:
    """Count bottom-up, stopping where a number passes the limit, so that none grows without bound.

    A group of one option, and a sequence of one group, share the number of what they hold.
    """
    kinds, parents = nodes.kinds, nodes.parents
    counts = [0 if kind == GROUP else 1 for kind in kinds]
    spent, last = 0, 0
    for node in range(len(kinds) - 1, 0, -1):
        parent, count = parents[node], counts[node]
        if count > _SMALL and count is not last:
            if count > _LIMIT and kinds[node] == SEQUENCE:
                raise _too_many(nodes, counts, node, source)
            spent, last = spent + count.bit_length() // 8, count
            if spent > MAX_COUNT_BYTES:
                message = "counting the derivations of the groups inside this one takes more than 100 MB"
                hint = "nest fewer groups around it, or split it into several templates"
                raise source.error("too-many", message, hint, nodes.begins[node])
        before = counts[parent]
        if kinds[parent] == GROUP:
            counts[parent] = before + count if before else count
        elif count > 1 and before <= _LIMIT:
            counts[parent] = before * count if before > 1 else count
    if counts[0] > _LIMIT:
        raise _too_many(nodes, counts, 0, source)
    return counts


def _too_many(nodes: Nodes, counts: list[int], sequence: int, source: Source) -> SpintaxError:
    """Return the error at the child with which the product passes the limit, read from the left."""
    child, product = sequence + 1, counts[sequence + 1]
    while product <= _LIMIT:
        child = nodes.stops[child]
        product *= counts[child]
    message = f"with this group the template has more than 10^{MAX_DIGITS} derivations"
    return source.error("too-many", message, "split it into several templates", nodes.begins[child])
