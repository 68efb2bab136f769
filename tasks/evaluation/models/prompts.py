"""Choose the prompts of a comparison, and flag those whose samples are hard to judge."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from tasks.spintax import Template

MOST_WORDS = 8
"""Maximum length of a prompt that is the beginning of a held-out document."""

SPACE = "ends in a space: a model whose tokens begin with a space has never seen that"
OUTSIDE = "no sentence of the templates begins like this: no sample can be valid"
NO_ROOM = "fills the context of the model: nothing was generated"


@dataclass(frozen=True)
class Prompt:
    """A prompt, where it comes from, and its flags as sentences."""

    text: str
    source: Literal["given", "held-out document"]
    flags: tuple[str, ...] = ()

    def flagged(self, sentence: str) -> "Prompt":
        """The prompt with one more flag."""
        return replace(self, flags=(*self.flags, sentence))


def beginning(document: str) -> str:
    """The first third of a document's words, at least one and at most MOST_WORDS, with its white space."""
    words = document.split()
    if not words:
        return ""
    end = 0
    for word in words[: min(MOST_WORDS, max(1, len(words) // 3))]:
        end = document.index(word, end) + len(word)
    return document[:end]


def choose_prompts(given: Sequence[str], held_out: Sequence[str], templates: Sequence[Template]) -> list[Prompt]:
    """The given prompts, then the beginnings of the held-out documents, without duplicates."""
    texts = dict.fromkeys(given)
    begun = [text for text in map(beginning, held_out) if text and text not in texts]
    sources: list[tuple[str, Literal["given", "held-out document"]]] = [(text, "given") for text in texts]
    sources += [(text, "held-out document") for text in dict.fromkeys(begun)]
    return [Prompt(text, source, flags_of(text, templates)) for text, source in sources]


def flags_of(prompt: str, templates: Sequence[Template]) -> tuple[str, ...]:
    """The flags that need no model."""
    found = []
    if prompt[-1:].isspace():
        found.append(SPACE)
    if templates and all(template.begins(prompt) is False for template in templates):
        found.append(OUTSIDE)
    return tuple(found)
