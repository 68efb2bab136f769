"""How many different strings a template has, exactly, without writing them out.

What comes in: a tree. What it leaves: the number, or None past a stated amount of work.
The tree is an automaton over characters; its sets of places, taken together as states, are a graph without
cycles in which each string is exactly one path (the subset construction, done lazily), so counting paths counts
strings. `{a|ab}{b|}` has 4 derivations and 3 strings. The worst case is exponential, hence the limit.
"""

from bisect import bisect_left
from collections.abc import Iterator

from tasks.spintax.tree import Tree

MAX_STATES = 50_000
"""States looked at before the answer is "unknown"."""

MAX_STEPS = 3_000_000
"""Places looked at, all states together, before the answer is "unknown": about a second."""

State = frozenset[int]
"""The characters that may come next, as places in the joined text of all nodes; -1: the string may end here."""


class _TooMuchWorkError(Exception):
    """The template is past the limit."""


def count_distinct(tree: Tree) -> int | None:
    """Return the number of distinct strings; None past `MAX_STATES` states or `MAX_STEPS` places."""
    try:
        return _count_paths(_Automaton(tree))
    except _TooMuchWorkError:
        return None


class _Automaton:
    """The characters of all text nodes in one string, and where reading goes on after each text."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self.chars = "".join(node.text for node in tree.nodes)
        self.begin: list[int] = []  # text node → place of its first character
        self.text_of: dict[int, int] = {}  # place of a last character → its node
        place = 0
        for index, node in enumerate(tree.nodes):
            self.begin.append(place)
            place += len(node.text)
            if node.text:
                self.text_of[place - 1] = index
        self.last = sorted(self.text_of)
        self.steps = 0

    def first(self) -> State:
        return self._settle(self._enter([0]))

    def successors(self, state: State) -> list[State]:
        """Return the state after each character that may come next."""
        by_char: dict[str, set[int]] = {}
        entered: dict[str, list[int]] = {}
        for place in state - {-1}:
            char = self.chars[place]
            if place in self.text_of:
                entered.setdefault(char, []).append(self.tree.follow[self.text_of[place]])
            else:
                by_char.setdefault(char, set()).add(place + 1)
        for char, nodes in entered.items():
            by_char.setdefault(char, set()).update(self._enter(nodes))
        self._spend(len(state))
        return [self._settle(places) for places in by_char.values()]

    def _enter(self, stack: list[int]) -> set[int]:
        """Return the places of the characters that can come first when reading begins at these nodes."""
        places: set[int] = set()
        seen: set[int] = set()
        while stack:
            node = stack.pop()
            if node in seen:
                continue
            seen.add(node)
            if node == self.tree.end:
                places.add(-1)
            elif self.tree.nodes[node].kind == "text":
                places.add(self.begin[node])
            else:
                stack.extend(self.tree.nodes[node].children[:1] or [self.tree.follow[node]])
                if self.tree.nodes[node].kind == "group":
                    stack.extend(self.tree.nodes[node].children[1:])
        self._spend(len(seen))
        return places

    def _settle(self, places: set[int]) -> State:
        """Skip to the end of a text as long as nothing else can be read: exactly one path leads there."""
        while len(places) == 1 and -1 not in places:
            node = self._node_at(*places)
            places = self._enter([self.tree.follow[node]])
        return frozenset(places)

    def _node_at(self, place: int) -> int:
        return self.text_of[self.last[bisect_left(self.last, place)]]

    def _spend(self, steps: int) -> None:
        self.steps += steps
        if self.steps > MAX_STEPS:
            raise _TooMuchWorkError


def _count_paths(automaton: _Automaton) -> int:
    """Count paths from the first state to an end, each state once, after its successors."""
    first = automaton.first()
    paths: dict[State, int] = {}
    stack: list[tuple[State, list[State], Iterator[State]]] = [_visit(automaton, first)]
    while stack:
        state, successors, remaining = stack[-1]
        unknown = next((successor for successor in remaining if successor not in paths), None)
        if unknown is not None:
            stack.append(_visit(automaton, unknown))
            continue
        paths[state] = (-1 in state) + sum(paths[successor] for successor in successors)
        stack.pop()
        if len(paths) + len(stack) > MAX_STATES:
            raise _TooMuchWorkError
    return paths[first]


def _visit(automaton: _Automaton, state: State) -> tuple[State, list[State], Iterator[State]]:
    successors = automaton.successors(state)
    return state, successors, iter(successors)
