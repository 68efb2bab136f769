"""Counts the distinct strings of a template exactly, without writing them out, and finds each by its sorted number.

The tree is an automaton over characters; its sets of positions, taken together as states, are a graph without
cycles in which each string is exactly one path (the subset construction, done lazily), so counting paths counts
strings. `{a|ab}{b|}` has 4 derivations and 3 strings. The worst case is exponential, hence the limits.
"""

from array import array
from bisect import bisect_right
from collections.abc import Iterator
from typing import NamedTuple

from tasks.spintax.nodes import GROUP, TEXT
from tasks.spintax.tree import Tree

MAX_STATES = 50_000
"""States looked at before the answer is "unknown"."""

MAX_STEPS = 2_000_000
"""Positions looked at, all states together, before the answer is "unknown": about a second and some 10 MB."""

State = bytes
"""The characters that may come next: sorted positions in the joined text of all nodes, 4 bytes each. The position after
the last character means that the string may end here."""


class Edge(NamedTuple):
    """The way to a state: a label, whose first character no other edge has, then the texts from a node on."""

    label: str
    node: int | None
    state: State


class TooMuchWorkError(Exception):
    """The template is past the limit."""


def count_distinct(tree: Tree) -> int | None:
    """Return the number of distinct strings; None past `MAX_STATES` states or `MAX_STEPS` positions."""
    try:
        return 1 if tree.counts[0] == 1 else Variants(tree).count
    except TooMuchWorkError:
        return None


class Variants:
    """The distinct strings of a tree, sorted by code point; `count` of them."""

    def __init__(self, tree: Tree) -> None:
        """Count them; TooMuchWorkError past the limits."""
        self._automaton = _Automaton(tree)
        self._first = self._automaton.first()
        self._paths = _count_paths(self._automaton, self._first.state)
        self.count = self._paths[self._first.state]

    def text_at(self, index: int) -> str:
        """Return string `index`, 0 <= index < count."""
        self._automaton.steps = 0
        edge = self._first
        read: list[str] = []
        while True:
            read += self._automaton.read(edge)
            if self._automaton.is_end(edge.state):
                if not index:
                    return "".join(read)
                index -= 1
            edges = iter(sorted(self._automaton.successors(edge.state), key=lambda edge: edge.label[0]))
            edge = next(edges)
            while index >= self._paths[edge.state]:
                index -= self._paths[edge.state]
                edge = next(edges)


class _Automaton:
    """The characters of all text nodes in one string, and the node that is read after each text."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self.chars = "".join(tree.texts)
        self.end = len(self.chars)
        self.begins = array("I")  # position of the first character of each text
        self.nodes = array("I")  # the text's node
        self.begin_of = array("I")  # any node → position of the first character at or after it
        self.lasts = bytearray(self.end + 1)  # is this position a text's last?
        position = 0
        for node, text in enumerate(tree.texts):
            self.begin_of.append(position)
            if text:
                self.begins.append(position)
                self.nodes.append(node)
                position += len(text)
                self.lasts[position - 1] = 1
        self.states: dict[int, State] = {}
        self.steps = 0

    def first(self) -> Edge:
        return Edge("", 0, self._state_at(0))

    def read(self, edge: Edge) -> Iterator[str]:
        """Yield the texts on the way to a state."""
        yield edge.label
        node = edge.node
        while node is not None and not self._branches(positions := self._enter([node])):
            text, node = self._read_text(*positions)
            yield text

    def is_end(self, state: State) -> bool:
        return bool(state) and _unpack(state)[-1] == self.end

    def successors(self, state: State) -> list[Edge]:
        """Return the edges that leave a state."""
        by_char: dict[str, set[int]] = {}
        entered: dict[str, set[int]] = {}
        positions = _unpack(state)
        self._spend(len(positions))
        for position in positions:
            if position == self.end:
                continue
            char = self.chars[position]
            if self.lasts[position]:
                entered.setdefault(char, set()).add(self.tree.follow[self._node_at(position)])
            else:
                by_char.setdefault(char, set()).add(position + 1)
        edges = []
        for char, nodes in entered.items():
            if len(nodes) > 1 or char in by_char:
                by_char.setdefault(char, set()).update(self._enter([*nodes]))
            else:
                edges += [Edge(char, node, self._state_at(node)) for node in nodes]
        return edges + [self._settle(char, found) for char, found in by_char.items()]

    def _enter(self, stack: list[int]) -> set[int]:
        """Return the positions of the characters that can come first when reading begins at these nodes."""
        tree = self.tree
        if len(stack) == 1 and (stack[0] == tree.end or tree.kinds[stack[0]] == TEXT):
            return {self.end if stack[0] == tree.end else self.begin_of[stack[0]]}
        positions: set[int] = set()
        seen: set[int] = set()
        while stack:
            node = stack.pop()
            if node in seen:
                continue
            seen.add(node)
            if node == tree.end:
                positions.add(self.end)
            elif tree.kinds[node] == TEXT:
                positions.add(self.begin_of[node])
            elif tree.kinds[node] == GROUP:
                stack += tree.children(node)
            else:
                stack.append(node + 1 if tree.stops[node] > node + 1 else tree.follow[node])
        self._spend(len(seen))
        return positions

    def _branches(self, positions: set[int]) -> bool:
        """Whether more than one thing can come next: if not, exactly one path leads to the end of the text."""
        return len(positions) > 1 or self.end in positions

    def _settle(self, char: str, positions: set[int]) -> Edge:
        """Return the edge to the next branch, from the positions after a character."""
        if self._branches(positions):
            return Edge(char, None, _pack(positions))
        rest, follow = self._read_text(*positions)
        return Edge(char + rest, follow, self._state_at(follow))

    def _state_at(self, node: int) -> State:
        """Return the state of the next branch from a node on; remembered for all nodes on the way."""
        passed: list[int] = []
        while node not in self.states:
            positions = self._enter([node])
            if self._branches(positions):
                self.states[node] = _pack(positions)
            else:
                passed.append(node)
                _, node = self._read_text(*positions)
        for one in passed:
            self.states[one] = self.states[node]
        return self.states[node]

    def _read_text(self, position: int) -> tuple[str, int]:
        """Return the text from a position to its end, and the node that is read next."""
        node = self._node_at(position)
        return self.chars[position : self.begin_of[node] + len(self.tree.texts[node])], self.tree.follow[node]

    def _node_at(self, position: int) -> int:
        return self.nodes[bisect_right(self.begins, position) - 1]

    def _spend(self, steps: int) -> None:
        self.steps += steps
        if self.steps > MAX_STEPS:
            raise TooMuchWorkError


def _pack(positions: set[int]) -> State:
    return array("I", sorted(positions)).tobytes()


def _unpack(state: State) -> "array[int]":
    positions = array("I")
    positions.frombytes(state)
    return positions


def _count_paths(automaton: _Automaton, first: State) -> dict[State, int]:
    """Return the paths from each state to an end, each state once, after its successors."""
    paths: dict[State, int] = {}
    stack: list[tuple[State, list[State], Iterator[State]]] = [_visit(automaton, first)]
    while stack:
        state, successors, remaining = stack[-1]
        unknown = next((successor for successor in remaining if successor not in paths), None)
        if unknown is not None:
            if len(paths) + len(stack) >= MAX_STATES:
                raise TooMuchWorkError
            stack.append(_visit(automaton, unknown))
            continue
        paths[state] = automaton.is_end(state) + sum(paths[successor] for successor in successors)
        stack.pop()
    return paths


def _visit(automaton: _Automaton, state: State) -> tuple[State, list[State], Iterator[State]]:
    successors = [edge.state for edge in automaton.successors(state)]
    return state, successors, iter(successors)
