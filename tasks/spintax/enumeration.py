"""Writes out every derivation in order, fast and in constant memory.

What comes in: a tree and what each text node prints (str, or bytes for a file).
What it leaves: blocks. The right-most slots are fused into one list of some 2,000 endings, so that a block of
lines is one `prefix.join(parts)`; only the prefixes are walked one by one, with a stack, never by recursion.
"""

from collections.abc import Callable, Iterator
from functools import lru_cache
from io import IOBase
from itertools import islice
from typing import AnyStr, BinaryIO, Generic

from tasks.spintax.nodes import GROUP
from tasks.spintax.source import Source
from tasks.spintax.tree import Tree, fuse

MAX_LINES = 1_000_000_000
"""More lines than this are refused by default: at 100 bytes a line they fill 100 GB."""

_COLUMNS = 8
"""Writing more of them takes as long as joining."""

_REMEMBERED = 64
_BLOCK = 2000
_BLOCK_SIZE = 124 * 1024  # malloc returns blocks of 128 KiB and more to the system each time: 5 times slower


def write_all(tree: Tree, source: Source, file: BinaryIO, limit: int) -> int:
    r"""Write every derivation as one UTF-8 line, in derivation order, and return how many.

    SpintaxError `newline-in-line-output` (before anything is written) where a text holds "\n" or "\r",
    `too-many` past `limit` lines.
    """
    refuse_newlines(tree, source)
    if tree.counts[0] > limit:
        message = f"the template has {tree.counts[0]:,} derivations, and at most {limit:,} are written out"
        raise source.error("too-many", message, "draw some of them instead, or raise the limit", 0)
    join = _Joiner().join if isinstance(file, IOBase) else bytes.join  # io's own files keep nothing that is written
    for prefix, parts in _Blocks(tree, [text.encode() for text in tree.texts], b"\n").walk():
        file.write(join(prefix, parts))
    return tree.counts[0]


def iterate(tree: Tree) -> Iterator[str]:
    """Yield every derivation in order."""
    for prefix, parts in _Blocks(tree, tree.texts, "").walk():
        for ending in islice(parts, 1, None):
            yield prefix + ending


def refuse_newlines(tree: Tree, source: Source) -> None:
    """Raise `newline-in-line-output` where a derivation would take more than one line."""
    for node, text in enumerate(tree.texts):
        if "\n" in text or "\r" in text:
            offset = min(place for place in map(source.text.find, "\n\r", [tree.begins[node]] * 2) if place >= 0)
            message = "an option holds a line break, so its variants cannot be written one a line"
            raise source.error("newline-in-line-output", message, "join the two lines", offset)


class _Joiner:
    """Joins blocks of lines; what it returns is good until the next call.

    Where all lines of a block are equally long and its endings come back behind a prefix of the same length, only the
    columns in which the prefixes differ are written, as in numbered lines: that is some five times faster.
    """

    def __init__(self) -> None:
        self._made: dict[int, _Made] = {}  # endings, by identity

    def join(self, prefix: bytes, parts: list[bytes]) -> bytes | bytearray:
        """Return prefix.join(parts)."""
        made = self._made.get(id(parts))
        if made is None:
            if len(self._made) == _REMEMBERED:
                self._made.clear()
            self._made[id(parts)] = _Made(parts)
            return prefix.join(parts)
        return made.join(prefix)


class _Made:
    """Endings that came back, and the block that was made of them last."""

    def __init__(self, parts: list[bytes]) -> None:
        self._parts = parts
        self._equal = len(set(map(len, parts))) == 2  # the first part is empty
        self._prefix: bytes | None = None
        self._block = bytearray()

    def join(self, prefix: bytes) -> bytes | bytearray:
        if not self._equal:
            return prefix.join(self._parts)
        last, self._prefix = self._prefix, prefix
        changed = _changed_columns(last, prefix)
        if changed is None:
            self._block = bytearray(prefix.join(self._parts))
            return self._block
        lines = len(self._parts) - 1
        for column in changed:
            self._block[column :: len(self._block) // lines] = prefix[column : column + 1] * lines
        return self._block


def _changed_columns(last: bytes | None, prefix: bytes) -> list[int] | None:
    """Return where two prefixes differ; None where they differ in length or in too many places."""
    if last is None or len(last) != len(prefix):
        return None
    changed = [column for column, byte in enumerate(prefix) if byte != last[column]]
    return changed if len(changed) <= _COLUMNS else None


class _Blocks(Generic[AnyStr]):
    """Walks a tree as blocks `(prefix, parts)`: `parts[0]` is empty, so `prefix.join(parts)` is all of them."""

    def __init__(self, tree: Tree, texts: list[AnyStr], end: AnyStr) -> None:
        self.tree = tree
        self.texts: list[AnyStr] = texts
        self.end: AnyStr = end
        self.empty: AnyStr = end[:0]
        longest = tree.longest([len(text) for text in texts]) + 1
        self.limit = max(16, min(_BLOCK, _BLOCK_SIZE // longest))
        self.parts: Callable[[tuple[int, ...]], list[AnyStr]] = lru_cache(maxsize=_REMEMBERED)(self._make_parts)
        self.endings: Callable[[int], list[AnyStr]] = lru_cache(maxsize=4)(self._make_endings)
        self.go_on: Callable[[int], tuple[AnyStr, int]] = lru_cache(maxsize=64)(self._go_on)
        self.batches: Callable[[int], list[tuple[int, ...]]] = lru_cache(maxsize=64)(self._batches)

    def walk(self) -> Iterator[tuple[AnyStr, list[AnyStr]]]:
        """Yield the blocks in derivation order."""
        pieces: list[AnyStr] = []  # what is read before the block; one list for all, as prefixes can be long and many
        stack: list[tuple[int, tuple[int, ...]]] = [(0, (0,))]
        while stack:
            size, nodes = stack.pop()
            del pieces[size:]
            if len(nodes) == 1:
                shared, node = self.go_on(nodes[0])
                if shared:
                    pieces.append(shared)
                nodes = (node,)
            if len(nodes) > 1 or self.tree.tails[nodes[0]] <= self.limit:
                yield self.empty.join(pieces), self.parts(nodes)
            else:
                size = len(pieces)
                stack.extend([(size, batch) for batch in self.batches(nodes[0])])

    def _go_on(self, node: int) -> tuple[AnyStr, int]:
        """Read what all derivations from this node on share: up to a block's beginning or a group of several options.

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
        """Return the empty part, then all that can be read from these sister nodes to the end."""
        begun = [text for node in nodes for text in self.tree.expand(node, self.texts)]
        parts = fuse([begun], self.endings(self.tree.follow[nodes[0]]))
        parts.insert(0, self.empty)
        return parts

    def _make_endings(self, node: int) -> list[AnyStr]:
        """Return all that can be read from this node to the end, and the end of the line."""
        columns: list[list[AnyStr]] = []
        while node != self.tree.end:
            columns.append(self.tree.expand(node, self.texts))
            node = self.tree.follow[node]
        return fuse(columns, [self.end])
