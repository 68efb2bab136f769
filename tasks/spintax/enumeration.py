"""Writes out every derivation in order, fast and in constant memory.

The right-most slots are fused into one list of some 2,000 endings, so that a block of lines is one
`prefix.join(parts)`; only the prefixes are walked one by one, with a stack, never by recursion.
"""

from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import islice
from typing import AnyStr, BinaryIO, Generic

from tasks.spintax.nodes import GROUP
from tasks.spintax.source import Source
from tasks.spintax.tree import Tree, fuse

MAX_LINES = 1_000_000_000
"""The most lines that are written: at 100 bytes per line they fill 100 GB."""

_CACHED_BLOCKS = 64
_BLOCK = 2000
_BLOCK_SIZE = 124 * 1024  # malloc returns blocks of 128 KiB and more to the system each time: 5 times slower


def write_all(tree: Tree, source: Source, file: BinaryIO) -> int:
    r"""Write every derivation as one UTF-8 line, in derivation order, and return how many.

    SpintaxError, before anything is written, `newline-in-line-output` where a text holds "\n" or "\r", and `too-many`
    past `MAX_LINES` lines.
    """
    check_newlines(tree, source)
    if tree.counts[0] > MAX_LINES:
        message = f"the template has {tree.counts[0]:,} derivations, and at most {MAX_LINES:,} are written out"
        raise source.error("too-many", message, "draw some of them instead", 0)
    for prefix, parts in _Blocks(tree, [text.encode() for text in tree.texts], b"\n").walk():
        file.write(prefix.join(parts))
    return tree.counts[0]


def iterate(tree: Tree) -> Iterator[str]:
    """Yield every derivation in order."""
    for prefix, parts in _Blocks(tree, tree.texts, "").walk():
        for ending in islice(parts, 1, None):
            yield prefix + ending


def check_newlines(tree: Tree, source: Source) -> None:
    """Raise `newline-in-line-output` where a derivation would take more than one line."""
    for node, text in enumerate(tree.texts):
        if "\n" in text or "\r" in text:
            offset = min(found for found in map(source.text.find, "\n\r", [tree.begins[node]] * 2) if found >= 0)
            message = "an option holds a line break, so its variants cannot be written one per line"
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
        self.parts: Callable[[tuple[int, ...]], list[AnyStr]] = lru_cache(maxsize=_CACHED_BLOCKS)(self._make_parts)
        self.endings: Callable[[int], list[AnyStr]] = lru_cache(maxsize=4)(self._make_endings)
        self.shared: Callable[[int], tuple[AnyStr, int]] = lru_cache(maxsize=64)(self._read_shared)
        self.batches: Callable[[int], list[tuple[int, ...]]] = lru_cache(maxsize=64)(self._batches)

    def walk(self) -> Iterator[tuple[AnyStr, list[AnyStr]]]:
        """Yield the blocks in derivation order."""
        pieces: list[AnyStr] = []  # what is read before the block; one list for all, as prefixes can be long and many
        stack: list[tuple[int, tuple[int, ...]]] = [(0, (0,))]
        while stack:
            size, nodes = stack.pop()
            del pieces[size:]
            if len(nodes) == 1:
                shared, node = self.shared(nodes[0])
                if shared:
                    pieces.append(shared)
                nodes = (node,)
            if len(nodes) > 1 or self.tree.tails[nodes[0]] <= self.limit:
                yield self.empty.join(pieces), self.parts(nodes)
            else:
                size = len(pieces)
                stack.extend([(size, batch) for batch in self.batches(nodes[0])])

    def _read_shared(self, node: int) -> tuple[AnyStr, int]:
        """Read the text that all derivations from this node on share, up to a block or a group of several options.

        Return it, and the node at which it ends.
        """
        tree = self.tree
        read: list[AnyStr] = []
        while tree.tails[node] > self.limit:
            if tree.kinds[node] == GROUP and tree.stops[node + 1] < tree.stops[node]:
                break
            read.append(self.texts[node])
            node = node + 1 if tree.stops[node] > node + 1 else tree.follow[node]
        return self.empty.join(read), node

    def _batches(self, group: int) -> list[tuple[int, ...]]:
        """Split the options into runs, each of them one block where that is possible; the last run first."""
        batches: list[list[int]] = []
        room = 0
        for option in self.tree.children(group):
            size = self.tree.tails[option]
            if size <= room:
                batches[-1].append(option)
                room -= size
            else:
                batches.append([option])
                room = self.limit - size
        return [tuple(batch) for batch in reversed(batches)]

    def _make_parts(self, nodes: tuple[int, ...]) -> list[AnyStr]:
        """Return the empty part, then all that can be read from these sibling nodes to the end of the template."""
        begun = [text for node in nodes for text in self.tree.expand(node, self.texts)]
        parts = fuse([begun], self.endings(self.tree.follow[nodes[0]]))
        parts.insert(0, self.empty)
        return parts

    def _make_endings(self, node: int) -> list[AnyStr]:
        """Return all that can be read from this node to the end of the template, each with the end of its line."""
        columns: list[list[AnyStr]] = []
        while node != self.tree.end:
            columns.append(self.tree.expand(node, self.texts))
            node = self.tree.follow[node]
        return fuse(columns, [self.end])
