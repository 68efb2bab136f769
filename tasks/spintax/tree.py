"""A parsed template as flat lists: no operation on it recurses, so no depth of braces can overflow.

What comes in: the parser's nodes in reading order (a parent stands before its children, node 0 is the whole).
What it leaves: for each node its count of derivations, its `follow` (the node read after it, or `end`) and its
`tail` (the derivations of all that is read from it on). As every step goes to a higher number, one loop from
the back computes each list, and a derivation is a walk from node 0 to `end`.
"""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import accumulate
from typing import AnyStr, Literal

from tasks.spintax.source import Source

MAX_DIGITS = 4000
"""A count may have this many digits: Python refuses to print integers of more than 4,300."""


@dataclass(slots=True)
class Node:
    """A piece of a template: `text` (never empty), `sequence` (of texts and groups) or `group` (of sequences).

    `begin` and `end` are offsets into the source; a group's include its braces.
    """

    kind: Literal["text", "sequence", "group"]
    begin: int
    end: int = 0
    text: str = ""
    children: list[int] = field(default_factory=list)


class Tree:
    """The nodes of one template and what is derived from them; never changed once built."""

    def __init__(self, nodes: list[Node], source: Source) -> None:
        """Count the derivations; SpintaxError `too-many` past 10^4000."""
        self.nodes = nodes
        self.end = len(nodes)
        self.follow = _follow(nodes)
        self.counts = _counts(nodes, source)
        self.stops = [index + 1 for index in range(self.end)]  # one past the last node of each subtree
        self.tails = [1] * (self.end + 1)
        self.starts: dict[int, list[int]] = {}  # group → the index at which each option begins
        for index in reversed(range(self.end)):
            count, tail = self.counts[index], self.tails[self.follow[index]]
            self.tails[index] = tail if count == 1 else count * tail
            children = nodes[index].children
            if children:
                self.stops[index] = self.stops[children[-1]]
            if nodes[index].kind == "group":
                self.starts[index] = [0, *accumulate(self.counts[child] for child in children[:-1])]

    def walk(self, index: int) -> Iterator[tuple[int, int]]:
        """Yield the texts and groups of derivation `index` in reading order, each with the option taken (texts: 0)."""
        node = 0
        while node != self.end:
            kind, children = self.nodes[node].kind, self.nodes[node].children
            if kind == "group":
                weight = self.tails[self.follow[node]]
                starts = self.starts[node]
                choice = bisect_right(starts, index // weight) - 1
                index -= starts[choice] * weight
                yield node, choice
                node = children[choice]
            elif kind == "sequence" and children:
                node = children[0]
            else:
                yield node, 0
                node = self.follow[node]

    def text_at(self, index: int) -> str:
        """Return derivation `index`, 0 <= index < count."""
        return "".join([self.nodes[node].text for node, _ in self.walk(index)])

    def longest(self, sizes: list[int]) -> int:
        """Return the size of the longest derivation, where `sizes` holds that of what each text node prints."""
        longest = sizes.copy()
        for index in reversed(range(self.end)):
            children = [longest[child] for child in self.nodes[index].children]
            if children:
                longest[index] = max(children) if self.nodes[index].kind == "group" else sum(children)
        return longest[0]

    def expand(self, node: int, texts: list[AnyStr]) -> list[AnyStr]:
        """Return every derivation of one node in order; `texts` holds what each text node prints."""
        empty = texts[0][:0]
        made: dict[int, list[AnyStr]] = {}
        for index in reversed(range(node, self.stops[node])):
            children = [made.pop(child) for child in self.nodes[index].children]
            kind = self.nodes[index].kind
            if kind == "text":
                made[index] = [texts[index]]
            elif kind == "group":
                made[index] = children[0] if len(children) == 1 else [text for option in children for text in option]
            else:
                made[index] = fuse(children, [empty])
        return made[node]


def fuse(columns: list[list[AnyStr]], tail: list[AnyStr]) -> list[AnyStr]:
    """Return every concatenation of one entry a column and one of `tail`, the right-most varying fastest.

    Columns of one entry are first joined, so a long run of them costs one copy of the list.
    """
    empty = tail[0][:0]
    single: list[AnyStr] = []
    for column in reversed(columns):
        if len(column) == 1:
            single.append(column[0])
            continue
        if single:
            middle = empty.join(reversed(single))
            tail = [middle + right for right in tail]
            single = []
        tail = [left + right for left in column for right in tail]
    if not single:
        return tail
    left = empty.join(reversed(single))
    return [left + right for right in tail]


def _follow(nodes: list[Node]) -> list[int]:
    follow = [len(nodes)] * len(nodes)
    for index, node in enumerate(nodes):
        if node.kind == "group":
            for option in node.children:
                follow[option] = follow[index]
        elif node.children:
            for child, following in zip(node.children, [*node.children[1:], follow[index]], strict=True):
                follow[child] = following
    return follow


def _counts(nodes: list[Node], source: Source) -> list[int]:
    """Count bottom-up, stopping at the first node past the limit so that no number grows without bound."""
    limit: int = 10**MAX_DIGITS
    counts = [1] * len(nodes)
    for index in reversed(range(len(nodes))):
        node = nodes[index]
        if node.kind == "group":
            counts[index] = sum(counts[option] for option in node.children)
        for child in node.children if node.kind == "sequence" else ():
            if counts[child] > 1:
                counts[index] *= counts[child]
            if counts[index] > limit:
                message = f"with this group the template has more than 10^{MAX_DIGITS} derivations"
                raise source.error("too-many", message, "split it into several templates", nodes[child].begin)
    return counts
