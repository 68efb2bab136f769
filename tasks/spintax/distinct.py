"""How many different strings a template has, exactly, without writing them out; and each of them by its number.

What comes in: a tree. What it leaves: the number, or None past a stated amount of work; the strings in sorted order.
The tree is an automaton over characters; its sets of places, taken together as states, are a graph without
cycles in which each string is exactly one path (the subset construction, done lazily), so counting paths counts
strings. `{a|ab}{b|}` has 4 derivations and 3 strings. The worst case is exponential, hence the limits.
"""

from array import array
from bisect import bisect_right
from collections.abc import Iterator

from tasks.spintax.nodes import GROUP, TEXT
from tasks.spintax.tree import Tree

MAX_STATES = 50_000
"""States looked at before the answer is "unknown"."""

MAX_STEPS = 2_000_000
"""Places looked at, all states together, before the answer is "unknown": about a second and some 10 MB."""

State = bytes
"""The characters that may come next: sorted places in the joined text of all nodes, 4 bytes each. The place after the
last character says that the string may end here."""

Edge = tuple[str, State]
"""What is read on the way to a state: a character that no other edge begins with, and all that must follow it."""


class TooMuchWorkError(Exception):
    """The template is past the limit."""


def count_distinct(tree: Tree) -> int | None:
    """Return the number of distinct strings; None past `MAX_STATES` states or `MAX_STEPS` places."""
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
        self._paths = _count_paths(self._automaton, self._first[1])
        self.count = self._paths[self._first[1]]

    def text_at(self, index: int) -> str:
        """Return string `index`, 0 <= index < count."""
        self._automaton.steps = 0
        label, state = self._first
        labels = [label]
        while True:
            if self._automaton.is_end(state):
                if not index:
                    return "".join(labels)
                index -= 1
            edges = iter(sorted(self._automaton.successors(state)))
            label, state = next(edges)
            while index >= self._paths[state]:
                index -= self._paths[state]
                label, state = next(edges)
            labels.append(label)


class _Automaton:
    """The characters of all text nodes in one string, and where reading goes on after each text."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self.chars = "".join(tree.texts)
        self.end = len(self.chars)
        self.begins = array("I")  # place of the first character of each text
        self.nodes = array("I")  # the text's node
        self.begin_of = array("I")  # any node → place of the first character at or after it
        self.lasts = bytearray(self.end + 1)  # is this place a text's last?
        place = 0
        for node, text in enumerate(tree.texts):
            self.begin_of.append(place)
            if text:
                self.begins.append(place)
                self.nodes.append(node)
                place += len(text)
                self.lasts[place - 1] = 1
        self.steps = 0

    def first(self) -> Edge:
        return self._settle("", self._enter([0]))

    def is_end(self, state: State) -> bool:
        return bool(state) and _unpack(state)[-1] == self.end

    def successors(self, state: State) -> list[Edge]:
        """Return the edges that leave a state."""
        by_char: dict[str, set[int]] = {}
        entered: dict[str, list[int]] = {}
        places = _unpack(state)
        self._spend(len(places))
        for place in places:
            if place == self.end:
                continue
            char = self.chars[place]
            if self.lasts[place]:
                entered.setdefault(char, []).append(self.tree.follow[self._node_at(place)])
            else:
                by_char.setdefault(char, set()).add(place + 1)
        for char, nodes in entered.items():
            by_char.setdefault(char, set()).update(self._enter(nodes))
        return [self._settle(char, found) for char, found in by_char.items()]

    def _enter(self, stack: list[int]) -> set[int]:
        """Return the places of the characters that can come first when reading begins at these nodes."""
        tree = self.tree
        if len(stack) == 1 and (stack[0] == tree.end or tree.kinds[stack[0]] == TEXT):
            return {self.end if stack[0] == tree.end else self.begin_of[stack[0]]}
        places: set[int] = set()
        seen: set[int] = set()
        while stack:
            node = stack.pop()
            if node in seen:
                continue
            seen.add(node)
            if node == tree.end:
                places.add(self.end)
            elif tree.kinds[node] == TEXT:
                places.add(self.begin_of[node])
            elif tree.kinds[node] == GROUP:
                stack += tree.children(node)
            else:
                stack.append(node + 1 if tree.stops[node] > node + 1 else tree.follow[node])
        self._spend(len(seen))
        return places

    def _settle(self, label: str, places: set[int]) -> Edge:
        """Read on to the end of a text as long as nothing else can be read: exactly one path leads there."""
        read = [label]
        while len(places) == 1 and self.end not in places:
            (place,) = places
            node = self._node_at(place)
            read.append(self.chars[place : self.begin_of[node] + len(self.tree.texts[node])])
            places = self._enter([self.tree.follow[node]])
        return "".join(read), array("I", sorted(places)).tobytes()

    def _node_at(self, place: int) -> int:
        return self.nodes[bisect_right(self.begins, place) - 1]

    def _spend(self, steps: int) -> None:
        self.steps += steps
        if self.steps > MAX_STEPS:
            raise TooMuchWorkError


def _unpack(state: State) -> "array[int]":
    places = array("I")
    places.frombytes(state)
    return places


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
    successors = [successor for _, successor in automaton.successors(state)]
    return state, successors, iter(successors)
