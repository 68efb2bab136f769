"""Finds the lowest derivation of a tree that equals a text.

The search tries options from the left and backtracks where the text differs, so what it finds first is the lowest.
It never reads on from the same node at the same offset twice, so time and memory grow with len(text) x nodes at
worst, however ambiguous the template is, up to a limit.
"""

from tasks.spintax.nodes import GROUP, SEQUENCE
from tasks.spintax.source import Source
from tasks.spintax.tree import Tree

MAX_POSITIONS = 1_000_000
"""Positions (a node at an offset) remembered before a search is given up: some 100 MB and a second or two."""


def find_options(tree: Tree, source: Source, text: str) -> list[int] | None:
    """Return the options (as nodes, in reading order) of the lowest derivation that equals `text`, or None.

    SpintaxError `too-many` where that takes more than `MAX_POSITIONS` positions.
    """
    search = _Search(tree, text)
    untried = search.untried
    while untried:
        option, offset, before = untried.pop()
        del search.taken[before:]
        search.taken.append(option)
        if search.read_from(option, offset):
            return search.taken[1:]  # without node 0
        if len(search.seen) > MAX_POSITIONS:
            message = f"finding this text takes more than {MAX_POSITIONS:,} steps, as many options are alike"
            raise source.error("too-many", message, "ask about a shorter text, or make fewer options optional", 0)
    return None


class _Search:
    """The options taken so far, those not tried yet, and the nodes that were read from already."""

    def __init__(self, tree: Tree, text: str) -> None:
        self.tree = tree
        self.text = text
        self.taken: list[int] = []
        self.seen: set[int] = set()
        self.untried = [(0, 0, 0)]  # an option, the offset at which it begins, how many options are taken before it

    def read_from(self, node: int, offset: int) -> bool:
        """Read from a node to the end, taking first options; return whether text and template end together."""
        tree, text, width = self.tree, self.text, len(self.text) + 1
        kinds, texts, stops, follow = tree.kinds, tree.texts, tree.stops, tree.follow
        while True:
            kind = kinds[node]
            if kind == GROUP:
                node = self._take_first(node, offset)
                continue
            if kind == SEQUENCE and stops[node] > node + 1:
                node += 1
                continue
            if not text.startswith(texts[node], offset):  # "" for an empty option
                return False
            offset += len(texts[node])
            node = follow[node]
            if node == tree.end:
                return offset == len(text)
            if self.untried:  # else nothing can come here again
                position = node * width + offset
                if position in self.seen:
                    return False
                self.seen.add(position)

    def _take_first(self, group: int, offset: int) -> int:
        first = group + 1
        if self.tree.stops[first] < self.tree.stops[group]:
            others = self.tree.children(group)[:0:-1]
            before = len(self.taken)
            self.untried += [(option, offset, before) for option in others]
        self.taken.append(first)
        return first
