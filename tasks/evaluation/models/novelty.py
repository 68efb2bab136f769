"""Novelty: does the model write sentences of the template that it was not shown?

What comes in: samples (prompt and text together), the templates, and the training documents, read once. What it
leaves: how many samples are valid, valid and new, and training documents verbatim. Texts are compared to the letter,
white space included, as `valid_documents` does. Only the samples are held in memory.
"""

from collections.abc import Iterable, Sequence

from tasks.evaluation.figures import Count, Figures, Share
from tasks.spintax import Template


class Novelty(Figures):
    """Samples against templates and training documents; a sample that was written twice counts twice."""

    samples: Count
    valid: Count | None
    """Sentences of a template; None, as all that follows from it, without templates."""
    valid_new: Count | None
    """Valid, and no training document: the model generalises."""
    verbatim: Count
    """Training documents to the letter, valid or not."""
    valid_share: Share | None
    """Of the samples; a share of no samples is None."""
    valid_new_share: Share | None
    verbatim_share: Share | None


def valid_documents(documents: Iterable[str], templates: Sequence[Template]) -> list[bool]:
    """For each document, whether it is verbatim a sentence of one of the templates."""
    return [any(template.contains(document) for template in templates) for document in documents]


def measure_novelty(samples: Sequence[str], templates: Sequence[Template], train: Iterable[str]) -> Novelty:
    """Compare the samples; `train` is read once and not held."""
    known = set(samples).intersection(train)
    verbatim = sum(sample in known for sample in samples)
    valid = valid_new = None
    if templates:
        belongs = valid_documents(samples, templates)
        valid = sum(belongs)
        valid_new = sum(one and sample not in known for one, sample in zip(belongs, samples, strict=True))
    return Novelty(
        samples=len(samples),
        valid=valid,
        valid_new=valid_new,
        verbatim=verbatim,
        valid_share=_share(valid, len(samples)),
        valid_new_share=_share(valid_new, len(samples)),
        verbatim_share=_share(verbatim, len(samples)),
    )


def _share(part: int | None, whole: int) -> float | None:
    return None if part is None or not whole else part / whole
