"""The template: its counts, its derivations by index, in order or drawn at random, and the index of a text.

Derivations are ordered as by itertools.product: the right-most group varies fastest.
"""

from bisect import bisect_left
from collections.abc import Iterator
from fractions import Fraction
from functools import cached_property
from operator import index as as_index
from typing import BinaryIO, Self

from tasks.errors import InputError
from tasks.spintax.distinct import count_distinct
from tasks.spintax.enumeration import check_newlines, iterate, write_all
from tasks.spintax.errors import SpintaxWarning
from tasks.spintax.lint import lint
from tasks.spintax.matching import Matcher, fits
from tasks.spintax.membership import find_options
from tasks.spintax.nodes import GROUP
from tasks.spintax.parsing import parse
from tasks.spintax.sampling_without_replacement import sample_without_replacement
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
        r"""Parse exactly `text` (nothing is trimmed, "\r" stays); errors name `name` and count lines from `line`.

        Raises SpintaxError `unclosed`, `unexpected-close`, `too-deep` (100,000 levels), `too-many`
        (10^4000 derivations, or 100 MB to count them) or `not-unicode` (a lone surrogate). Never recurses.
        """
        return cls.from_source(Source(text, name, line))

    @classmethod
    def from_source(cls, source: Source) -> Self:
        """Parse the text of a source; see `parse`."""
        return cls(source, parse(source))

    @property
    def text(self) -> str:
        """The spintax as written."""
        return self._source.text

    @property
    def name(self) -> str:
        """The path that it was read from, as given, or a name."""
        return self._source.name

    @property
    def line(self) -> int:
        """The line at which it begins, from 1."""
        return self._source.line

    @property
    def tree(self) -> Tree:
        """The parsed nodes, for the modules of this package."""
        return self._tree

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
        return lint(self._source, self._tree, self.distinct)

    @cached_property
    def slots(self) -> tuple[tuple[str, ...], ...]:
        """The options of each top-level group: as printed, or as written where an option holds groups itself."""
        return tuple(tuple(map(self._label, self._tree.children(slot))) for slot in self._slots)

    @cached_property
    def _slots(self) -> list[int]:
        return [child for child in self._tree.children(0) if self._tree.kinds[child] == GROUP]

    def _label(self, option: int) -> str:
        tree = self._tree
        if tree.kinds.find(GROUP, option, tree.stops[option]) < 0:
            return tree.print_only(option)
        return self.text[tree.begins[option] : tree.ends[option]]

    @property
    def slot_weights(self) -> tuple[tuple[Fraction, ...], ...]:
        """The share of the derivations that takes each option, slot by slot; a slot's shares sum to 1."""
        tree = self._tree
        return tuple(
            tuple(Fraction(tree.counts[option], tree.counts[slot]) for option in tree.children(slot))
            for slot in self._slots
        )

    def choices(self, index: int) -> tuple[int, ...]:
        """Return which option of each slot derivation `index` takes; IndexError outside."""
        tree = self._tree
        digits = reversed(tree.divide(0, self._resolve(index)))
        return tuple(tree.choose(child, digit)[0] for child, digit in digits if tree.kinds[child] == GROUP)

    def choices_of(self, text: str) -> tuple[int, ...] | None:
        """Return which option of each slot the lowest derivation that is `text` takes, None where there is none.

        As choices(index_of(text)); a few microseconds, after the first call, for a template of common size in which
        `distinct` equals `count`.
        """
        if self._matcher is not None:
            return self._matcher.choices(text)
        options = find_options(self._tree, self._source, text)
        if options is None:
            return None
        taken = {self._tree.parents[option]: option for option in options}
        return tuple(bisect_left(self._tree.children(slot), taken[slot]) for slot in self._slots)

    @cached_property
    def _matcher(self) -> Matcher | None:
        return Matcher(self._tree) if fits(self._tree) and self.distinct == self.count else None

    def __getitem__(self, index: int) -> str:
        """Return derivation `index`; negative indices count from the end; IndexError outside."""
        return self._tree.text_at(self._resolve(index))

    def _resolve(self, index: int) -> int:
        given = as_index(index)
        resolved = given + self.count if given < 0 else given
        if not 0 <= resolved < self.count:
            raise IndexError(f"there are {self.count:,} derivations, so there is no index {given:,}")
        return resolved

    def __iter__(self) -> Iterator[str]:
        """Yield every derivation in order."""
        return iterate(self._tree)

    def draw(self, n: int, seed: int) -> Iterator[str]:
        """Yield `n` distinct variants, all of them where there are fewer; no text twice.

        Derivations come in the seed's order, every one as likely as any other, without the texts that came before.
        After 10,000 repetitions in a row (fewer for over 1,000 nodes) the rest is taken from the sorted list of
        distinct variants, in the seed's order. draw(n, seed) begins draw(n + 1, seed), in every version of Python and
        NumPy. Memory does not grow with n where `distinct` equals `count`, else by some 100 bytes per variant.
        InputError at once where n is negative; SpintaxError `too-many`, when it is reached, where so many repetitions
        come and `distinct` is None.
        """
        if n < 0:
            raise InputError(f"cannot draw {n:,} variants; ask for 0 or more")
        return sample_without_replacement(self._tree, self._source, n, seed, lambda: self.distinct)

    def enumerate_to(self, file: BinaryIO) -> int:
        """Write every derivation in order as a line of UTF-8 and return how many.

        Raises SpintaxError, before writing anything, `newline-in-line-output` where an option holds a line break
        and `too-many` above 1,000,000,000 lines.
        """
        return write_all(self._tree, self._source, file)

    def check_single_line(self) -> None:
        """Raise SpintaxError `newline-in-line-output` where a variant would take more than one line of a file."""
        check_newlines(self._tree, self._source)

    def contains(self, text: str) -> bool:
        """Return whether `text` is a variant of this template; also `text in template`; errors as index_of."""
        if self._matcher is not None:
            return self._matcher.contains(text)
        return find_options(self._tree, self._source, text) is not None

    __contains__ = contains

    def begins(self, text: str) -> bool | None:
        """Return whether some variant begins with `text`; None where only a complete text can be looked up.

        That is where the template is very large or deep, or two derivations are the same text.
        """
        return None if self._matcher is None else self._matcher.begins(text)

    def index_of(self, text: str) -> int | None:
        """Return the lowest index whose derivation is `text`, or None.

        Time is polynomial, however ambiguous the template; SpintaxError `too-many` past 1,000,000 steps.
        """
        options = find_options(self._tree, self._source, text)
        return None if options is None else self._tree.index_of(options)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Template) and self._source == other._source

    def __hash__(self) -> int:
        return hash(self._source)

    def __repr__(self) -> str:
        return f"Template(name={self.name!r}, line={self.line}, count={self.count:,})"

    def __reduce__(self) -> tuple[object, tuple[Source]]:
        return type(self).from_source, (self._source,)
