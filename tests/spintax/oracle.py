"""A slow, plain spintax expander to hold the engine against: it shares no code and no method with it.

Trees are drawn at random and written as spintax; what they stand for is read off the tree with itertools.product.
`reference` reads text instead, by recursive descent.
"""

from collections.abc import Iterator
from itertools import product

from hypothesis import strategies as st

Sequence = list["str | Group"]
Group = tuple["Sequence", ...]

_ESCAPES = str.maketrans({char: "\\" + char for char in "\\{|}"})


def expand(sequence: Sequence) -> Iterator[str]:
    """Yield all derivations in derivation order."""
    columns = [[part] if isinstance(part, str) else [text for opt in part for text in expand(opt)] for part in sequence]
    return map("".join, product(*columns))


def size(sequence: Sequence) -> int:
    """Count the derivations."""
    total = 1
    for part in sequence:
        total *= 1 if isinstance(part, str) else sum(map(size, part))
    return total


def write(sequence: Sequence) -> str:
    """Write a tree as spintax."""
    return "".join(
        part.translate(_ESCAPES) if isinstance(part, str) else "{" + "|".join(map(write, part)) + "}"
        for part in sequence
    )


def sequences(alphabet: str) -> st.SearchStrategy[Sequence]:
    """Draw trees over few characters, so that ambiguity is common, of at most 300 derivations."""
    text = st.text(alphabet, max_size=3)
    base: st.SearchStrategy[Sequence] = st.lists(text, max_size=1)

    def nest(inner: st.SearchStrategy[Sequence]) -> st.SearchStrategy[Sequence]:
        group = st.lists(inner, min_size=1, max_size=3).map(tuple)
        return st.lists(text | group, max_size=4)

    return st.recursive(base, nest, max_leaves=12).filter(lambda sequence: size(sequence) <= 300)


def reference(text: str) -> list[str] | None:
    """Return the derivations of spintax text, None where its braces do not match."""
    try:
        sequence, end = _sequence(text, 0, depth=0)
    except IndexError:
        return None
    return list(expand(sequence)) if end == len(text) else None


def _sequence(text: str, at: int, depth: int) -> tuple[Sequence, int]:
    parts: Sequence = []
    while at < len(text):
        if text[at] == "\\" and text[at + 1 : at + 2] in ("\\", "{", "|", "}"):
            parts.append(text[at + 1])
            at += 2
        elif text[at] == "{":
            group, at = _group(text, at + 1, depth + 1)
            parts.append(group)
        elif text[at] == "}" or (text[at] == "|" and depth):
            return parts, at
        else:
            parts.append(text[at])
            at += 1
    return parts, at


def _group(text: str, at: int, depth: int) -> tuple[Group, int]:
    options: list[Sequence] = []
    while True:
        option, at = _sequence(text, at, depth)
        options.append(option)
        if text[at] == "}":  # IndexError past the end: never closed
            return tuple(options), at + 1
        at += 1
