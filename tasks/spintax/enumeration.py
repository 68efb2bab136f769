"""Writes out every derivation in order, fast and in constant memory.

What comes in: a tree and what each text node prints (str, or bytes for a file).
What it leaves: blocks. The right-most slots are fused into one list of some 2,000 endings, so that a block of
lines is one `prefix.join(parts)`; only the prefixes are walked one by one, with a stack, never by recursion.
"""

from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import islice
from typing import AnyStr, BinaryIO, Generic

from tasks.spintax.source import Source
from tasks.spintax.tree import Tree, fuse

MAX_LINES = 1_000_000_000
"""More lines than this are refused by default: at 100 bytes a line they fill 100 GB."""

_BLOCK = 2000
_BLOCK_SIZE = 96 * 1024  # malloc returns blocks of 128 KiB and more to the system each time: 5 times slower


def write_all(tree: Tree, source: Source, file: BinaryIO, limit: int) -> int:
    r"""Write every derivation as one UTF-8 line, in derivation order, and return how many.

    SpintaxError `newline-in-line-output` (before anything is written) where a text holds "\n" or "\r",
    `too-many` past `limit` lines.
    """
    refuse_newlines(tree, source)
    if tree.counts[0] > limit:
        message = f"the template has {tree.counts[0]:,} derivations, and at most {limit:,} are written out"
        raise source.error("too-many", message, "draw some of them instead, or raise the limit", 0)
    for prefix, parts in _Blocks(tree, [node.text.encode() for node in tree.nodes], b"\n").walk():
        file.write(prefix.join(parts))
    return tree.counts[0]


def iterate(tree: Tree) -> Iterator[str]:
    """Yield every derivation in order."""
    for prefix, parts in _Blocks(tree, [node.text for node in tree.nodes], "").walk():
        for ending in islice(parts, 1, None):
            yield prefix + ending


def refuse_newlines(tree: Tree, source: Source) -> None:
    """Raise `newline-in-line-output` where a derivation would take more than one line."""
    for node in tree.nodes:
        if "\n" in node.text or "\r" in node.text:
            offset = min(place for place in map(source.text.find, "\n\r", [node.begin] * 2) if place >= 0)
            message = "an option holds a line break, so its variants cannot be written one a line"
            raise source.error("newline-in-line-output", message, "join the two lines", offset)


class _Blocks(Generic[AnyStr]):
    """Walks a tree as blocks `(prefix, parts)`: `parts[0]` is empty, so `prefix.join(parts)` is all of them."""

    def __init__(self, tree: Tree, texts: list[AnyStr], end: AnyStr) -> None:
        self.tree = tree
        self.texts: list[AnyStr] = texts
        self.end: AnyStr = end
        self.empty: AnyStr = end[:0]
        longest = tree.longest([len(text) for text in texts]) + 1
        self.limit = max(16, min(_BLOCK, _BLOCK_SIZE // longest))
        self.parts: Callable[[tuple[int, ...]], list[AnyStr]] = lru_cache(maxsize=64)(self._make_parts)

    def walk(self) -> Iterator[tuple[AnyStr, list[AnyStr]]]:
        """Yield the blocks in derivation order."""
        tree = self.tree
        stack: list[tuple[AnyStr, tuple[int, ...]]] = [(self.empty, (0,))]
        while stack:
            prefix, nodes = stack.pop()
            node = nodes[0]
            if len(nodes) > 1 or tree.tails[node] <= self.limit:
                yield prefix, self.parts(nodes)
            elif tree.nodes[node].kind == "group":
                stack.extend((prefix, batch) for batch in reversed(self._batches(node)))
            else:
                successor = tree.nodes[node].children[0] if tree.nodes[node].children else tree.follow[node]
                stack.append((prefix + self.texts[node], (successor,)))

    def _batches(self, group: int) -> list[tuple[int, ...]]:
        """Split the options into runs, each of them one block where that is possible."""
        batches: list[list[int]] = []
        room = 0
        for option in self.tree.nodes[group].children:
            size = self.tree.tails[option]
            if size <= room:
                batches[-1].append(option)
                room -= size
            else:
                batches.append([option])
                room = self.limit - size
        return [tuple(batch) for batch in batches]

    def _make_parts(self, nodes: tuple[int, ...]) -> list[AnyStr]:
        """Return the empty part, then all that can be read from these sister nodes to the end."""
        columns: list[list[AnyStr]] = [[]]
        for node in nodes:
            columns[0] += self.tree.expand(node, self.texts)
        node = self.tree.follow[nodes[0]]
        while node != self.tree.end:
            columns.append(self.tree.expand(node, self.texts))
            node = self.tree.follow[node]
        parts = fuse(columns, [self.end])
        parts.insert(0, self.empty)
        return parts
