"""Prompts: which there are, and what to know before one reads what was written after them.

What comes in: prompts that a person gave, held-out documents, templates. What it leaves: prompts that begin a held-out
document, and for each prompt what makes its samples hard to judge.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from tasks.spintax import Template

MOST_WORDS = 8
"""Of a prompt that begins a held-out document."""

SPACE = "ends in a space: a model whose tokens begin with their space has never seen that"
OUTSIDE = "no sentence of the templates begins so: no sample can be one"
NO_ROOM = "leaves no room in the model's context: nothing was written"


@dataclass(frozen=True)
class Prompt:
    """A prompt, where it comes from, and its flags as sentences."""

    text: str
    source: Literal["given", "held-out document"]
    flags: tuple[str, ...] = ()

    def flagged(self, sentence: str) -> "Prompt":
        """The prompt with a flag more."""
        return replace(self, flags=(*self.flags, sentence))


def beginning(document: str) -> str:
    """The first third of a document's words, MOST_WORDS at most and one at least, spaces between them as they are."""
    words = document.split()
    if not words:
        return ""
    end = 0
    for word in words[: min(MOST_WORDS, max(1, len(words) // 3))]:
        end = document.index(word, end) + len(word)
    return document[:end]


def choose_prompts(given: Sequence[str], held_out: Sequence[str], templates: Sequence[Template]) -> list[Prompt]:
    """The prompts that were given, then the beginnings of the held-out documents, each once."""
    texts = dict.fromkeys(given)
    begun = [text for text in map(beginning, held_out) if text and text not in texts]
    sources: list[tuple[str, Literal["given", "held-out document"]]] = [(text, "given") for text in texts]
    sources += [(text, "held-out document") for text in dict.fromkeys(begun)]
    return [Prompt(text, source, flags_of(text, templates)) for text, source in sources]


def flags_of(prompt: str, templates: Sequence[Template]) -> tuple[str, ...]:
    """What can be told of a prompt without a model."""
    found = []
    if prompt[-1:].isspace():
        found.append(SPACE)
    if templates and all(template.begins(prompt) is False for template in templates):
        found.append(OUTSIDE)
    return tuple(found)
