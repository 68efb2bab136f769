"""Loss floor: the loss that a model of the templates cannot go below on fresh documents.

What comes in: templates, how many documents were drawn from each, and how long documents are. What it leaves: the
entropy of a document, H = sum over templates of s (ln D - ln s), where s is the share of the documents drawn from a
template and D its distinct variants, all equally likely. That is exact only where no two derivations, of one template
or of two, are the same text; otherwise H with what is known of D is an upper bound, as texts that coincide or come up
more often lower the entropy.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, log

from tasks.evaluation.corpus.figures import Floor
from tasks.evaluation.figures import MAX_EXPONENT
from tasks.spintax import Template


@dataclass(frozen=True)
class HeldOutSize:
    """How large the held-out set is, in documents and in tokens."""

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
    """The floor of documents that all come from templates.

    Args:
        templates: what the documents were drawn from, equally likely within a template.
        drawn: documents drawn from each.
        distinct: the distinct variants of all templates together, None where not known.
        mean_words: mean words of a document.
        held_out: None where the tokens are not known.
    """
    if not sum(drawn):
        return no_floor("no document was drawn from a template")
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


def no_floor(reason: str) -> Floor:
    """The floor where nothing is known of it."""
    return Floor(
        kind="unknown",
        reason=reason,
        nats_per_document=None,
        bits_per_document=None,
        nats_per_word=None,
        nats_per_token=None,
        perplexity=None,
    )


def _entropy(variants: Sequence[int], drawn: Sequence[int]) -> float:
    """Nats a document; a template that nothing was drawn from adds nothing."""
    total = sum(drawn)
    shares = [(number, documents / total) for number, documents in zip(variants, drawn, strict=True) if documents]
    return sum(share * (log(number) - log(share)) for number, share in shares)


def _why_not_exact(templates: Sequence[Template], distinct: int | None) -> str:
    if any(template.distinct is None for template in templates) or distinct is None:
        return "how many distinct variants the templates have is not known"
    if any(template.distinct != template.count for template in templates):
        return "a template has several derivations of the same text, so some texts are likelier"
    if distinct != sum(template.count for template in templates):
        return "the templates have variants in common"
    return ""
