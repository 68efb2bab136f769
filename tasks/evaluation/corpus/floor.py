"""The loss floor: the lowest loss that a model of the templates can have on fresh documents.

It is the entropy of a document, H = sum over templates of s (ln D - ln s), where s is the share of the documents drawn
from a template and D the number of its distinct variants, all equally likely. That is exact only if no two derivations,
of one template or of two, give the same text. Otherwise H is an upper bound, because texts that coincide lower the
entropy.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, log

from tasks.evaluation.corpus.figures import Floor
from tasks.evaluation.figures import MAX_EXPONENT
from tasks.spintax import Template


@dataclass(frozen=True)
class HeldOutSize:
    """The size of the held-out set, in documents and in tokens."""

    documents: int
    tokens: int


def loss_floor(
    templates: Sequence[Template],
    drawn: Sequence[int],
    distinct: int | None,
    *,
    mean_words: float,
    held_out: HeldOutSize | None,
) -> Floor:
    """The floor of a corpus whose documents all come from templates.

    Args:
        templates: The templates that the documents were drawn from, uniformly within a template.
        drawn: Documents drawn from each.
        distinct: Distinct variants of all templates together; None if not known.
        mean_words: Mean number of words per document.
        held_out: None if the tokens are not known.
    """
    if not sum(drawn):
        return Floor(kind="unknown", reason="no document was drawn from a template")
    reason = _why_not_exact(templates, distinct)
    nats = _entropy([template.distinct or template.count for template in templates], drawn)
    nats_per_token = nats * held_out.documents / held_out.tokens if held_out and held_out.tokens else None
    return Floor(
        kind="upper bound" if reason else "exact",
        reason=reason,
        nats_per_document=nats,
        bits_per_document=nats / log(2),
        nats_per_word=nats / mean_words if mean_words else None,
        nats_per_token=nats_per_token,
        perplexity=exp(nats_per_token) if nats_per_token is not None and nats_per_token < MAX_EXPONENT else None,
    )


def _entropy(variants: Sequence[int], drawn: Sequence[int]) -> float:
    """Nats per document; a template that nothing was drawn from adds nothing."""
    total = sum(drawn)
    shares = [(number, documents / total) for number, documents in zip(variants, drawn, strict=True) if documents]
    return sum(share * (log(number) - log(share)) for number, share in shares)


def _why_not_exact(templates: Sequence[Template], distinct: int | None) -> str:
    if any(template.distinct is None for template in templates) or distinct is None:
        return "how many distinct variants the templates have is not known"
    if any(template.distinct != template.count for template in templates):
        return "a template has several derivations of the same text, so some texts are more likely"
    if distinct != sum(template.count for template in templates):
        return "the templates have variants in common"
    return ""
