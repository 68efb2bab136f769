"""Finds in a parsed template what is legal and seldom meant."""

import re
from collections import Counter
from collections.abc import Iterator
from itertools import islice

from tasks.spintax.errors import SpintaxWarning
from tasks.spintax.nodes import GROUP, SEQUENCE, TEXT
from tasks.spintax.source import Source
from tasks.spintax.tree import Tree

MAX_WARNINGS = 10_000
"""Further ones of the same kind are left out: nobody reads them, and they would take more memory than the template."""

_RANGE = re.compile(r"\s*\d+\s*(?:-|–|,|\.\.)\s*\d*\s*")
_MARK = re.compile(r"\\[\\{|}]|[{|}\\]")  # an escape, a character that means something, or a backslash that does not


def lint(source: Source, tree: Tree, distinct: int | None) -> tuple[SpintaxWarning, ...]:
    """Return all warnings in reading order; of characters, groups and spaces the first `MAX_WARNINGS` each."""
    kinds = (_characters(source), _groups(source, tree), _spaces(source, tree))
    found = [warning for kind in kinds for warning in islice(kind, MAX_WARNINGS)]
    if distinct is not None and distinct < tree.counts[0]:
        message = (
            f"{tree.counts[0]:,} derivations give only {distinct:,} distinct variants, so some are drawn more often"
        )
        found.append(source.warning("fewer-distinct", message, 0))
    return tuple(sorted(found, key=lambda warning: (warning.line, warning.column)))


def _characters(source: Source) -> Iterator[SpintaxWarning]:
    depth = 0
    for mark in _MARK.finditer(source.text):
        depth += {"{": 1, "}": -1}.get(mark.group(), 0)
        if mark.group() == "|" and not depth:
            message = r"'|' outside a group is printed verbatim; write \| if you mean it, or add '{' and '}'"
            yield source.warning("bar-outside-group", message, mark.start())
        elif mark.group() == "\\":
            found = source.text[mark.start() : mark.start() + 2]
            message = rf"'{found}' is not an escape and is printed verbatim; write \\ for a backslash"
            yield source.warning("unknown-escape", message, mark.start())


def _groups(source: Source, tree: Tree) -> Iterator[SpintaxWarning]:
    forms = _forms(tree)
    for node, kind in enumerate(tree.kinds):
        if kind == GROUP:
            if tree.stops[node + 1] < tree.stops[node]:
                yield from _repeated(source, tree, node, forms)
            elif not _is_double(tree, node):
                yield _single(source, tree, node)


def _is_double(tree: Tree, group: int) -> bool:
    """Whether this group is all that a one-option group holds, as in {{name}}: one warning is enough."""
    parent = tree.parents[group - 1]
    return tree.kinds[parent] == GROUP and parent == group - 2 and tree.ends[group] + 1 == tree.ends[parent]


def _single(source: Source, tree: Tree, group: int) -> SpintaxWarning:
    begin, end = tree.begins[group], tree.ends[group]
    shown = _shorten(source.text, begin, end)
    if end - begin == 2:
        message = r"'{}' is an empty group and prints nothing; remove it, or write \{\} for the characters"
        return source.warning("empty-group", message, begin)
    if _RANGE.fullmatch(source.text, begin + 1, end - 1):
        inside = _shorten(source.text, begin + 1, end - 1)
        message = (
            rf"'{shown}' looks like a range, but prints '{inside}'; list the numbers with '|', or write \{{ and \}}"
        )
        return source.warning("looks-like-range", message, begin)
    message = (
        rf"'{shown}' has one option, which is always printed; add '|' and another, or write \{{ and \}} for braces"
    )
    return source.warning("one-option", message, begin)


def _forms(tree: Tree) -> list[int]:
    """Number the nodes so that two have one number exactly where they are built alike from the same texts."""
    numbers: dict[object, int] = {}
    forms = [0] * tree.end
    for node in range(tree.end - 1, 0, -1):
        if tree.kinds[node] == TEXT:
            form: object = tree.texts[node]
        elif tree.stops[node] > node + 1 and tree.stops[node] == tree.stops[node + 1]:
            form = (tree.kinds[node], forms[node + 1])
        else:
            form = (tree.kinds[node], *map(forms.__getitem__, tree.children(node)))
        forms[node] = numbers.setdefault(form, len(numbers))
    return forms


def _repeated(source: Source, tree: Tree, group: int, forms: list[int]) -> Iterator[SpintaxWarning]:
    options = tree.children(group)
    taken = [forms[option] for option in options]
    if len(set(taken)) == len(taken):
        return
    counts = Counter(taken)
    seen: set[int] = set()
    for option in options:
        form = forms[option]
        if form in seen and counts[form]:
            begin, end = tree.begins[option], tree.ends[option]
            name = f"the option '{_shorten(source.text, begin, end)}'" if end > begin else "the empty option"
            message = f"{name} occurs {counts[form]} times in this group, so it is drawn that much more often"
            yield source.warning("repeated-option", message, begin)
            counts[form] = 0
        seen.add(form)


def _spaces(source: Source, tree: Tree) -> Iterator[SpintaxWarning]:
    """Find two spaces in one text, or one at its end where another can follow."""
    begins = _space_first(tree)
    for node, text in enumerate(tree.texts):
        if "  " in text:
            message = "two spaces in a row are printed verbatim"
            yield source.warning("doubled-space", message, source.text.index("  ", tree.begins[node]))
        elif text.endswith(" ") and begins[tree.follow[node]]:
            message = "this space can be followed by another one; move it into the options beside it"
            yield source.warning("doubled-space", message, tree.ends[node] - 1)


def _space_first(tree: Tree) -> bytearray:
    """Return for each node, and for the end, whether reading on from it can print a space first."""
    begins = bytearray(tree.end + 1)
    for node in reversed(range(tree.end)):
        if tree.kinds[node] == TEXT:
            begins[node] = tree.texts[node][0] == " "
        elif tree.kinds[node] == SEQUENCE:
            begins[node] = begins[node + 1] if tree.stops[node] > node + 1 else begins[tree.follow[node]]
        if begins[node] and tree.kinds[node] == SEQUENCE:
            begins[tree.parents[node]] = 1  # the group itself comes later, as its number is lower
    return begins


def _shorten(text: str, begin: int, end: int) -> str:
    return text[begin:end] if end - begin <= 40 else f"{text[begin : begin + 19]}…{text[end - 20 : end]}"
