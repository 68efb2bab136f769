"""Does a text belong to a template, and as which derivation.

What comes in: a tree and a text. What it leaves: a yes or no, or the lowest derivation index.
Both follow all readings at once, as sets of nodes that may begin at each offset: time grows with
len(text) x nodes at worst, however ambiguous the template is.
"""

from collections.abc import Iterator
from heapq import heappop, heappush

from tasks.spintax.tree import Tree

Reach = dict[int, set[int]]
"""Offset into the text → the nodes that may begin there (`tree.end`: nothing more to read)."""


def contains(tree: Tree, text: str) -> bool:
    """Return whether some derivation equals `text`."""
    return any(offset == len(text) and tree.end in nodes for offset, nodes in _layers(tree, text))


def index_of(tree: Tree, text: str) -> int | None:
    """Return the lowest index of a derivation that equals `text`, None where there is none."""
    reach = dict(_layers(tree, text))
    if tree.end not in reach.get(len(text), ()):
        return None
    alive = _alive(tree, text, reach)
    index, offset, node = 0, 0, 0
    while node != tree.end:
        # The first living successor is the lowest option: indices order derivations by their choices, left to right.
        offset, successor = next(step for step in _steps(tree, text, offset, node) if step[1] in alive.get(step[0], ()))
        if tree.nodes[node].kind == "group":
            choice = tree.nodes[node].children.index(successor)
            index += tree.starts[node][choice] * tree.tails[tree.follow[node]]
        node = successor
    return index


def _steps(tree: Tree, text: str, offset: int, node: int) -> Iterator[tuple[int, int]]:
    """Yield where reading can go on after entering `node` at `offset`; always a higher node."""
    if node == tree.end:
        return
    kind, children = tree.nodes[node].kind, tree.nodes[node].children
    if kind == "group":
        for option in children:
            yield offset, option
    elif kind == "sequence":
        yield offset, children[0] if children else tree.follow[node]
    elif text.startswith(tree.nodes[node].text, offset):
        yield offset + len(tree.nodes[node].text), tree.follow[node]


def _layers(tree: Tree, text: str) -> Iterator[tuple[int, set[int]]]:
    """Yield, by ascending offset, the nodes that can begin there; offsets where none can are left out."""
    pending: Reach = {0: {0}}
    offsets = [0]
    while offsets:
        offset = heappop(offsets)
        layer = pending.pop(offset)
        stack = list(layer)
        while stack:
            for place, node in _steps(tree, text, offset, stack.pop()):
                if place == offset:
                    if node not in layer:
                        layer.add(node)
                        stack.append(node)
                elif place in pending:
                    pending[place].add(node)
                else:
                    pending[place] = {node}
                    heappush(offsets, place)
        yield offset, layer


def _alive(tree: Tree, text: str, reach: Reach) -> Reach:
    """Return the part of `reach` from which the end of both text and template can be reached."""
    alive: Reach = {len(text): {tree.end}}
    for offset in sorted(reach, reverse=True):
        living = alive.setdefault(offset, set())
        for node in sorted(reach[offset], reverse=True):
            if any(successor in alive.get(place, ()) for place, successor in _steps(tree, text, offset, node)):
                living.add(node)
    return alive
