"""The template: what the rest of the project holds in its hand.

What comes in: spintax text. What it leaves: its counts, its derivations by index, in order or drawn at random, and
the way back from a text to its index. Derivations are ordered as by itertools.product: the right-most group varies
fastest.
"""

from collections.abc import Iterator
from functools import cached_property
from operator import index as as_index
from typing import BinaryIO, Self

from tasks.errors import InputError
from tasks.spintax.advice import advise
from tasks.spintax.distinct import count_distinct
from tasks.spintax.drawing import draw_texts
from tasks.spintax.enumeration import MAX_LINES, iterate, refuse_newlines, write_all
from tasks.spintax.errors import SpintaxWarning
from tasks.spintax.membership import contains, index_of
from tasks.spintax.parsing import parse
from tasks.spintax.source import Source
from tasks.spintax.tree import Tree


class Template:
    """One parsed template; immutable, hashable, equal where text, name and line are; pickled as its text.

    There is no len(): Python limits it to 2^63. Use `count`.
    """

    def __init__(self, source: Source, tree: Tree) -> None:
        """Use Template.parse."""
        self._source = source
        self._tree = tree

    @classmethod
    def parse(cls, text: str, name: str = "template", line: int = 1) -> Self:
        r"""Parse exactly `text` (nothing is trimmed, "\r" stays); `name` and `line` are where errors point to.

        Raises SpintaxError `unclosed`, `unexpected-close`, `too-deep` (1,000 levels), `too-many` (10^4000
        derivations) or `not-unicode` (a lone surrogate). Never recurses.
        """
        return cls.from_source(Source(text, name, line))

    @classmethod
    def from_source(cls, source: Source) -> Self:
        """Parse a text that stands at a place; see `parse`."""
        return cls(source, parse(source))

    @property
    def text(self) -> str:
        """The spintax as written."""
        return self._source.text

    @property
    def name(self) -> str:
        """What it was read from: a path as given, or a name."""
        return self._source.name

    @property
    def line(self) -> int:
        """The line at which it begins, from 1."""
        return self._source.line

    @property
    def count(self) -> int:
        """The number of derivations, exact."""
        return self._tree.counts[0]

    @cached_property
    def distinct(self) -> int | None:
        """The exact number of distinct variants; None where that takes over 50,000 states or about a second."""
        return count_distinct(self._tree)

    @cached_property
    def warnings(self) -> tuple[SpintaxWarning, ...]:
        """What is legal and seldom meant, in reading order; computes `distinct`."""
        return advise(self._source, self._tree, self.distinct)

    @cached_property
    def slots(self) -> tuple[tuple[str, ...], ...]:
        """The options of each top-level group: as printed, or as written where an option holds groups itself."""
        nodes = self._tree.nodes
        groups = [nodes[child] for child in nodes[0].children if nodes[child].kind == "group"]
        return tuple(tuple(self._label(option) for option in group.children) for group in groups)

    def _label(self, option: int) -> str:
        nodes = self._tree.nodes
        children = nodes[option].children
        if any(nodes[child].kind == "group" for child in children):
            return self.text[nodes[option].begin : nodes[option].end]
        return "".join(nodes[child].text for child in children)

    def choices(self, index: int) -> tuple[int, ...]:
        """Return which option of each slot derivation `index` takes; IndexError outside."""
        slots = {child for child in self._tree.nodes[0].children if self._tree.nodes[child].kind == "group"}
        return tuple(choice for node, choice in self._tree.walk(self._resolve(index)) if node in slots)

    def __getitem__(self, index: int) -> str:
        """Return derivation `index`; negative indices count from the end; IndexError outside."""
        return self._tree.text_at(self._resolve(index))

    def _resolve(self, index: int) -> int:
        given = as_index(index)
        resolved = given + self.count if given < 0 else given
        if not 0 <= resolved < self.count:
            raise IndexError(f"the template has {self.count:,} derivations, so there is no index {given:,}")
        return resolved

    def __iter__(self) -> Iterator[str]:
        """Yield every derivation in order."""
        return iterate(self._tree)

    def draw(self, n: int, seed: int) -> Iterator[str]:
        """Yield `n` derivations, none twice, in an order that depends on `count` and `seed` only.

        All `count` of them where n is larger. draw(n, seed) begins draw(n + 1, seed), in every version of Python
        and NumPy. Memory does not grow with n or count. Two derivations may be the same text (see `distinct`).
        InputError where n is negative.
        """
        if n < 0:
            raise InputError(f"cannot draw {n:,} variants; ask for 0 or more")
        return draw_texts(self._tree, n, seed)

    def enumerate_to(self, file: BinaryIO, limit: int = MAX_LINES) -> int:
        """Write every derivation in order as a line of UTF-8 and return how many.

        Raises SpintaxError, before writing anything, `newline-in-line-output` where an option holds a line break
        and `too-many` above `limit` lines.
        """
        return write_all(self._tree, self._source, file, limit)

    def check_single_line(self) -> None:
        """Raise SpintaxError `newline-in-line-output` where a variant would take more than one line of a file."""
        refuse_newlines(self._tree, self._source)

    def contains(self, text: str) -> bool:
        """Return whether `text` is a variant of this template; also `text in template`."""
        return contains(self._tree, text)

    __contains__ = contains

    def index_of(self, text: str) -> int | None:
        """Return the lowest index whose derivation is `text`, or None; time is polynomial, however ambiguous."""
        return index_of(self._tree, text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Template) and self._source == other._source

    def __hash__(self) -> int:
        return hash(self._source)

    def __repr__(self) -> str:
        return f"Template(name={self.name!r}, line={self.line}, count={self.count:,})"

    def __reduce__(self) -> tuple[object, tuple[Source]]:
        return type(self).from_source, (self._source,)
