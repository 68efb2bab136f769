"""Looks a parsed template over for what is legal and seldom meant.

What comes in: a source, its tree and its counts. What it leaves: warnings in reading order, each with a place.
"""

import re
from collections import Counter
from collections.abc import Iterator

from tasks.spintax.errors import SpintaxWarning
from tasks.spintax.parsing import MARK
from tasks.spintax.source import Source
from tasks.spintax.tree import Node, Tree

_RANGE = re.compile(r"\s*\d+\s*(?:-|–|,|\.\.)\s*\d*\s*")
_BACKSLASH = re.compile(MARK.pattern + r"|\\")


def advise(source: Source, tree: Tree, distinct: int | None) -> tuple[SpintaxWarning, ...]:
    """Return all warnings, ordered by place."""
    found = [*_characters(source), *_groups(source, tree), *_spaces(source, tree)]
    if distinct is not None and distinct < tree.counts[0]:
        message = f"{tree.counts[0]:,} derivations give only {distinct:,} distinct variants, so some come up more often"
        found.append(source.warning("fewer-distinct", message, 0))
    return tuple(sorted(found, key=lambda warning: (warning.line, warning.column)))


def _characters(source: Source) -> Iterator[SpintaxWarning]:
    depth = 0
    for mark in _BACKSLASH.finditer(source.text):
        depth += {"{": 1, "}": -1}.get(mark.group(), 0)
        if mark.group() == "|" and not depth:
            message = r"'|' outside a group is printed as it is; write \| to say so, or add '{' and '}'"
            yield source.warning("bar-outside-group", message, mark.start())
        elif mark.group() == "\\":
            found = source.text[mark.start() : mark.start() + 2]
            message = rf"'{found}' is no escape and is printed as it is; write \\ for a backslash"
            yield source.warning("unknown-escape", message, mark.start())


def _groups(source: Source, tree: Tree) -> Iterator[SpintaxWarning]:
    for index, node in enumerate(tree.nodes):
        if node.kind == "group":
            if len(node.children) > 1:
                yield from _repeated(source, tree, node)
            elif tree.nodes[index - 1].kind != "sequence" or not _is_double(tree, index):
                yield _single(source, node)


def _is_double(tree: Tree, index: int) -> bool:
    """Tell whether this group is all that a one-option group holds, as in {{name}}: one warning is enough."""
    parent = tree.nodes[index - 2] if index > 1 else None
    return parent is not None and parent.kind == "group" and tree.nodes[index].end + 1 == parent.end


def _single(source: Source, node: Node) -> SpintaxWarning:
    inside = source.text[node.begin + 1 : node.end - 1]
    shown = _shorten(source.text[node.begin : node.end])
    if not inside:
        message = r"'{}' is an empty group and prints nothing; remove it, or write \{\} for the characters"
        return source.warning("empty-group", message, node.begin)
    if _RANGE.fullmatch(inside):
        message = (
            rf"'{shown}' looks like a range, but prints '{inside}'; list the numbers with '|', or write \{{ and \}}"
        )
        return source.warning("looks-like-range", message, node.begin)
    message = (
        rf"'{shown}' has one option, which is always printed; add '|' and another, or write \{{ and \}} for braces"
    )
    return source.warning("one-option", message, node.begin)


def _repeated(source: Source, tree: Tree, node: Node) -> Iterator[SpintaxWarning]:
    options = [tree.nodes[option] for option in node.children]
    written = [source.text[option.begin : option.end] for option in options]
    counts = Counter(written)
    if len(counts) == len(written):
        return
    seen: set[str] = set()
    for option, text in zip(options, written, strict=True):
        if text in seen and counts[text]:
            name = f"the option '{_shorten(text)}'" if text else "the empty option"
            message = f"{name} stands {counts[text]} times in this group, so it is drawn that much more often"
            yield source.warning("repeated-option", message, option.begin)
            counts[text] = 0
        seen.add(text)


def _spaces(source: Source, tree: Tree) -> Iterator[SpintaxWarning]:
    """Find two spaces in one text, or one at its end where another can follow."""
    begins = [False] * (tree.end + 1)  # can reading on from this node print a space first?
    for index in reversed(range(tree.end)):
        node = tree.nodes[index]
        if node.kind == "text":
            begins[index] = node.text[0] == " "
        else:
            begins[index] = any(begins[child] for child in _entries(tree, index))
    for index, node in enumerate(tree.nodes):
        if "  " in node.text:
            message = "two spaces stand side by side and are printed so"
            yield source.warning("doubled-space", message, source.text.index("  ", node.begin))
        elif node.text.endswith(" ") and begins[tree.follow[index]]:
            message = "this space can be followed by another one; move it into the options beside it"
            yield source.warning("doubled-space", message, node.end - 1)


def _entries(tree: Tree, index: int) -> list[int]:
    node = tree.nodes[index]
    return node.children if node.kind == "group" else node.children[:1] or [tree.follow[index]]


def _shorten(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:19]}…{text[-20:]}"
