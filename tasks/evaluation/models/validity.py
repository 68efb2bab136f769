"""Validity: is what the model wrote a sentence of the template?

What comes in: documents and the templates that the corpus was drawn from. What it leaves: which of them belong.
"""

from collections.abc import Iterable, Sequence

from tasks.spintax import Template


def valid_documents(documents: Iterable[str], templates: Sequence[Template]) -> list[bool]:
    """For each document whether it is, to the letter, a sentence of one of the templates."""
    return [any(template.contains(document) for template in templates) for document in documents]
