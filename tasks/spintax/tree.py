"""A parsed template: no operation on it recurses, so no depth of braces can overflow.

As every step of a reading goes to a higher node number, one loop over the nodes computes each column.
"""

from array import array
from bisect import bisect_left, bisect_right
from functools import cached_property
from itertools import accumulate
from typing import AnyStr

from tasks.spintax.nodes import GROUP, SEQUENCE, Nodes, count_derivations
from tasks.spintax.source import Source

TAIL_LIMIT = 1 << 60
"""Where `Tree.tails` stop growing."""

_SMALL = 1 << 64


class Tree:
    """The nodes of one template and what is derived from them; never changed once built."""

    def __init__(self, nodes: Nodes, source: Source) -> None:
        """Count the derivations; SpintaxError `too-many` past 10^4000, or 100 MB of counts."""
        self.kinds = nodes.kinds
        self.parents = nodes.parents
        self.begins = nodes.begins
        self.ends = nodes.ends
        self.stops = nodes.stops
        self.texts = nodes.texts
        self.end = len(nodes.kinds)
        self.counts = count_derivations(nodes, source)
        self._children: dict[int, list[int]] = {}
        self._starts: dict[int, list[int]] = {}

    def children(self, node: int) -> list[int]:
        """Return the children in order; lists of several are kept, so that each is made once."""
        found = self._children.get(node)
        if found is None:
            found = []
            child, stop = node + 1, self.stops[node]
            while child < stop:
                found.append(child)
                child = self.stops[child]
            if len(found) > 1:
                self._children[node] = found
        return found

    @cached_property
    def follow(self) -> "array[int]":
        """The node that is read after each one; for the option of a group, what is read after the group."""
        follow = array("I", [self.end]) * self.end
        kinds, stops, parents = self.kinds, self.stops, self.parents
        for node in range(1, self.end):
            parent, stop = parents[node], stops[node]
            follow[node] = stop if stop < stops[parent] and kinds[parent] == SEQUENCE else follow[parent]
        return follow

    @cached_property
    def tails(self) -> list[int]:
        """How many derivations there are of all that is read from each node on, at most 2^60; [end] is 1."""
        tails = [1] * (self.end + 1)
        for node in reversed(range(self.end)):
            tail, count = tails[self.follow[node]], self.counts[node]
            tails[node] = tail if count == 1 else min(count, TAIL_LIMIT) * tail
            tails[node] = min(tails[node], TAIL_LIMIT)
        return tails

    @cached_property
    def cores(self) -> "array[int]":
        """For each node the node in it at which its derivations differ first; they share the text around it."""
        cores = array("I", range(self.end))
        counts, parents = self.counts, self.parents
        for node in range(self.end - 1, 0, -1):
            count = counts[node]
            if count > 1 and counts[parents[node]] == count:
                cores[parents[node]] = cores[node]
        return cores

    def text_at(self, index: int) -> str:
        """Return derivation `index`, 0 <= index < count."""
        counts, parts = self.counts, []
        stack: list[tuple[int, int] | str] = [(0, index)]
        while stack:
            item = stack.pop()
            if isinstance(item, str):
                parts.append(item)
                continue
            node, index = item
            if counts[node] == 1:
                parts.append(self.texts[node] or self.print_only(node))
                continue
            core = self.cores[node]
            if core != node:
                parts.append("".join(self.texts[node:core]))
                stack.append("".join(self.texts[self.stops[core] : self.stops[node]]))
            if self.kinds[core] == GROUP:
                choice, rest = self.choose(core, index)
                stack.append((self.children(core)[choice], rest))
            else:
                stack += self.divide(core, index)
        return "".join(parts)

    def print_only(self, node: int) -> str:
        """Return what a node of one derivation prints."""
        return "".join(self.texts[node : self.stops[node]])

    def divide(self, sequence: int, index: int) -> list[tuple[int, int]]:
        """Return the children of a sequence, from the right, each with the derivation that it has in number `index`."""
        divided = []
        for child in reversed(self.children(sequence)):
            count = self.counts[child]
            digit = 0
            if count > 1:
                index, digit = divmod(index, count)
            divided.append((child, digit))
        return divided

    def choose(self, group: int, index: int) -> tuple[int, int]:
        """Return the option of a group that has its derivation `index`, and the index among the option's own."""
        options, count = self.children(group), self.counts[group]
        if count == len(options):
            return index, 0
        if count < _SMALL:
            starts = self._starts.get(group)
            if starts is None:
                starts = self._starts[group] = [0, *accumulate(self.counts[option] for option in options[:-1])]
            choice = bisect_right(starts, index) - 1
            return choice, index - starts[choice]
        choice = 0  # starts that are huge are not kept
        while index >= self.counts[options[choice]]:
            index -= self.counts[options[choice]]
            choice += 1
        return choice, index

    def index_of(self, options: list[int]) -> int:
        """Return the index of the derivation that takes these options, given in reading order."""
        index, counts = 0, self.counts
        below: dict[int, int] = {}  # group → which of its derivations
        for option in reversed([0, *options]):
            index = 0
            for child in self.children(option):
                if counts[child] > 1:
                    index = index * counts[child] + below.pop(child)
            if option and counts[group := self.parents[option]] > 1:
                siblings = self.children(group)
                choice = bisect_left(siblings, option)
                plain = counts[group] == len(siblings)
                below[group] = index + (choice if plain else sum(counts[sibling] for sibling in siblings[:choice]))
        return index

    def longest(self, sizes: list[int]) -> int:
        """Return the size of the longest derivation; `sizes` has the size of each node's own text."""
        longest, kinds, parents = sizes.copy(), self.kinds, self.parents
        for node in range(self.end - 1, 0, -1):
            parent, size = parents[node], longest[node]
            if kinds[parent] == SEQUENCE:
                longest[parent] += size
            elif size > longest[parent]:
                longest[parent] = size
        return longest[0]

    def expand(self, node: int, texts: list[AnyStr]) -> list[AnyStr]:
        """Return every derivation of one node in order; `texts` holds what each node prints itself.

        Work is done only where derivations differ: however many braces are around an alternative, its texts are
        copied once for all of them.
        """
        made: dict[int, list[AnyStr]] = {}  # core → its derivations
        counts, cores, stops, empty = self.counts, self.cores, self.stops, texts[0][:0]

        def take(node: int) -> list[AnyStr]:
            if counts[node] == 1:
                return [empty.join(texts[node : stops[node]])]
            core = cores[node]
            left, right = empty.join(texts[node:core]), empty.join(texts[stops[core] : stops[node]])
            return [left + text + right for text in made.pop(core)] if left or right else made.pop(core)

        for index in reversed(range(node, stops[node])):
            if counts[index] == 1 or cores[index] != index:
                continue
            columns = [take(child) for child in self.children(index)]
            joined = self.kinds[index] == GROUP
            made[index] = [text for column in columns for text in column] if joined else fuse(columns, [empty])
        return take(node)


def fuse(columns: list[list[AnyStr]], tail: list[AnyStr]) -> list[AnyStr]:
    """Return every concatenation of one entry per column and one of `tail`, the right-most varying fastest.

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
