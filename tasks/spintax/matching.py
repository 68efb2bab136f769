"""Finds the option of each slot in a text by regular expressions, in microseconds, for unambiguous trees.

The expression has one capturing group per slot. Where no two derivations are the same text, no two ways of reading it
from the left reach the same node at the same offset, so however `re` backtracks, it reads on from each node at most
once per offset: no text takes exponential time. Ambiguous, large and deep trees are left to membership.py.
"""

import re
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any

from tasks.spintax.nodes import GROUP, SEQUENCE
from tasks.spintax.tree import Tree

MAX_NODES = 100_000
"""Larger trees take `re` seconds to compile."""

MAX_DEPTH = 50
"""`re` compiles nested groups by recursion."""

MAX_CHARS = 1_000_000
"""Of all texts of a tree together."""

_CACHED_OPTIONS = 10_000
_MAX_ALTERNATIVES = 8
_PREFIX_CHARS = 4


def fits(tree: Tree) -> bool:
    """Whether a tree is small and shallow enough; that it is not ambiguous is for the caller to check."""
    if tree.end > MAX_NODES or sum(map(len, tree.texts)) > MAX_CHARS:
        return False
    depths = [0] * tree.end
    for node in range(1, tree.end):
        depths[node] = depths[tree.parents[node]] + (tree.kinds[node] == GROUP)
    return max(depths) <= MAX_DEPTH


class Matcher:
    """Finds the options of each slot of an unambiguous tree."""

    def __init__(self, tree: Tree) -> None:
        slots = [child for child in tree.children(0) if tree.kinds[child] == GROUP]
        self._pattern = _pattern(tree, set(slots))
        self._match = re.compile(self._pattern).fullmatch
        self._options = [_Options(tree, slot) for slot in slots]

    def contains(self, text: str) -> bool:
        """Whether some derivation is `text`."""
        return self._match(text) is not None

    def begins(self, text: str) -> bool:
        """Whether some derivation begins with `text`."""
        return self._partial.fullmatch(text, partial=True) is not None

    @cached_property
    def _partial(self) -> Any:
        import regex  # has partial matches, which `re` does not

        return regex.compile(self._pattern)

    def choices(self, text: str) -> tuple[int, ...] | None:
        """Return which option each slot takes in the derivation that is `text`, None where there is none."""
        found = self._match(text)
        if found is None:
            return None
        return tuple([options[part] for options, part in zip(self._options, found.groups(), strict=True)])


class _Options(dict[str, int]):
    """What a slot prints → its option; for options that hold groups, computed when first asked for."""

    def __init__(self, tree: Tree, slot: int) -> None:
        options = tree.children(slot)
        self._match: Callable[[str], re.Match[str] | None] | None = None
        if tree.counts[slot] == len(options):
            super().__init__((tree.print_only(option), number) for number, option in enumerate(options))
        else:
            self._match = re.compile(_pattern(tree, set(options), slot)).fullmatch

    def __missing__(self, text: str) -> int:
        found = self._match(text) if self._match else None
        if found is None or found.lastindex is None:
            raise KeyError(text)
        if len(self) < _CACHED_OPTIONS:
            self[text] = found.lastindex - 1
        return found.lastindex - 1


def _pattern(tree: Tree, captured: set[int], top: int = 0) -> str:
    return "".join(_parts(tree, captured, top))


def _parts(tree: Tree, captured: set[int], top: int) -> Iterator[str]:
    """Yield the expression of a subtree."""
    open_nodes: list[int] = []
    node_after = top
    for node in range(top, tree.stops[top]):
        if node < node_after:
            continue
        yield from _closings(tree, open_nodes, node)
        options = tree.children(node) if tree.kinds[node] == GROUP else []
        if options and tree.counts[node] == len(options) and captured.isdisjoint(options):
            texts = [tree.print_only(option) for option in options]
            yield f"{'(' if node in captured else '(?:'}{_alternatives(texts, _PREFIX_CHARS)})"
            node_after = tree.stops[node]
            continue
        parent = tree.parents[node]
        if node > top and tree.kinds[node] == SEQUENCE and node > parent + 1:
            yield "|"
        if tree.kinds[node] == GROUP or node in captured:
            yield "(" if node in captured else "(?:"
            open_nodes.append(node)
        yield re.escape(tree.texts[node])
    yield from _closings(tree, open_nodes, tree.stops[top])


def _alternatives(texts: list[str], depth: int) -> str:
    """Return an expression of plain texts, many of them grouped by first characters: `re` tries one after the other."""
    if len(texts) <= _MAX_ALTERNATIVES or not depth:
        return "|".join(map(re.escape, texts))
    rests: dict[str, list[str]] = {}
    for text in texts:
        rests.setdefault(text[:1], []).append(text[1:])
    return "|".join(
        f"{re.escape(first)}(?:{_alternatives(rest, depth - 1)})" if first else "" for first, rest in rests.items()
    )


def _closings(tree: Tree, open_nodes: list[int], node: int) -> Iterator[str]:
    while open_nodes and tree.stops[open_nodes[-1]] <= node:
        open_nodes.pop()
        yield ")"
