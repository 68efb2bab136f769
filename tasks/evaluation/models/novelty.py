"""Measure how many samples are valid, and how many of those are new.

A sample is prompt and text together. Texts are compared verbatim, white space included.
"""

from collections.abc import Iterable, Sequence

from tasks.evaluation.figures import Count, Figures, Share
from tasks.spintax import Template


class Novelty(Figures):
    """Samples compared with templates and training documents; equal samples count separately."""

    samples: Count
    valid: Count | None
    """Sentences of a template; None, like the figures that depend on it, without templates."""
    valid_new: Count | None
    """Valid and not a training document: the model generalises."""
    verbatim: Count
    """Verbatim training documents, valid or not."""
    valid_share: Share | None
    """Share of the samples; None without samples."""
    valid_new_share: Share | None
    verbatim_share: Share | None


def valid_documents(documents: Iterable[str], templates: Sequence[Template]) -> list[bool]:
    """For each document, whether it is verbatim a sentence of one of the templates."""
    return [any(template.contains(document) for template in templates) for document in documents]


def measure_novelty(samples: Sequence[str], templates: Sequence[Template], train: Iterable[str]) -> Novelty:
    """Compare the samples; `train` is read once and not kept in memory."""
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
