"""Held-out loss with a bootstrap interval, and the paired comparison of two models.

Two models may have different tokenizers, so they are compared by nats per document, never by nats per token.

The bootstrap (Efron 1979, Annals of Statistics 7:1) resamples documents, because the tokens of one document are not
independent; its interval is the percentile interval (Efron & Tibshirani 1993, An Introduction to the Bootstrap, chapter
13). Equal seeds give equal figures.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, fsum, isfinite
from typing import TYPE_CHECKING

from tasks.evaluation.figures import MAX_EXPONENT, Count, Figures, Share

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

RESAMPLES = 10_000
"""Resamples of a bootstrap."""

CONFIDENCE = 0.95
"""Share of the resamples within an interval."""

CHUNK = 2**20
"""Documents drawn at a time, about 30 MB; one resample if there are more documents."""


@dataclass(frozen=True)
class HeldOutLosses:
    """The losses of one model on the held-out documents, in order; ValueError if the two differ in length."""

    nats: tuple[float, ...]
    """Negative log-likelihood of each document, summed over its counted tokens; may be infinite or NaN."""
    tokens: tuple[int, ...]
    """Counted tokens of each document."""

    def __post_init__(self) -> None:
        if len(self.nats) != len(self.tokens):
            raise ValueError(f"losses of {len(self.nats):,} documents, but tokens of {len(self.tokens):,}")
        if not sum(self.tokens) or min(self.tokens) < 0:
            raise ValueError("held-out losses need a document with a counted token, and no negative token counts")


class LossFigures(Figures):
    """The losses of one model; None if not finite."""

    documents: Count
    tokens: Count
    loss: float | None
    """Nats per token, each token with the same weight."""
    low: float | None
    """Lower end of the 95 % interval of the loss; None, like `high`, for one document."""
    high: float | None
    perplexity: float | None
    """e to the power of the loss; None above e^700."""
    nats_per_document: float | None
    above_floor: float | None
    """Nats per document above the loss floor; None without a floor. Below 0 by more than noise means leakage."""


class PairedComparison(Figures):
    """Two models on the same held-out documents, in nats per document; below 0 the challenger is better.

    If a loss is not finite, all figures that depend on it are None, and the challenger does not win.
    """

    documents: Count
    resamples: Count
    challenger: float | None
    incumbent: float | None
    difference: float | None
    """Mean of challenger minus incumbent."""
    low: float | None
    """Lower end of the 95 % interval of the difference; None, like `high`, for one document."""
    high: float | None
    better_share: Share | None
    """Share of the resamples in which the challenger is strictly better."""
    wins: bool
    """Whether the whole interval is below 0."""


def token_loss(losses: HeldOutLosses) -> float:
    """Nats per token: sum of nats over sum of tokens."""
    return fsum(losses.nats) / sum(losses.tokens)


def perplexity(losses: HeldOutLosses) -> float | None:
    """Return e to the power of nats per token (Jelinek et al. 1977); None above e^700 and for NaN."""
    loss = token_loss(losses)
    return exp(loss) if loss < MAX_EXPONENT else None


def nats_per_document(losses: HeldOutLosses) -> float:
    """Mean nats per document."""
    return fsum(losses.nats) / len(losses.nats)


def loss_interval(losses: HeldOutLosses, seed: int, *, resamples: int = RESAMPLES) -> tuple[float, float] | None:
    """The 95 % interval of nats per token over documents; None for one document, and if a loss is not finite."""
    if len(losses.nats) < 2 or not all(map(isfinite, losses.nats)):
        return None
    import numpy as np

    nats, tokens = _resample([losses.nats, losses.tokens], seed, resamples)
    counted = tokens > 0  # a resample can consist of documents without counted tokens
    return _interval(np.divide(nats[counted], tokens[counted]))


def loss_figures(losses: HeldOutLosses, seed: int, *, floor: float | None = None) -> LossFigures:
    """All figures of one model; `floor` is the loss floor in nats per document (`Floor.nats_per_document`)."""
    interval = loss_interval(losses, seed)
    document = _finite(nats_per_document(losses))
    return LossFigures(
        documents=len(losses.nats),
        tokens=sum(losses.tokens),
        loss=_finite(token_loss(losses)),
        low=interval[0] if interval else None,
        high=interval[1] if interval else None,
        perplexity=perplexity(losses),
        nats_per_document=document,
        above_floor=None if document is None or floor is None else document - floor,
    )


def paired_bootstrap(
    challenger: HeldOutLosses, incumbent: HeldOutLosses, seed: int, *, resamples: int = RESAMPLES
) -> PairedComparison:
    """Compare two models document by document; each resample draws both losses of a document.

    ValueError if the numbers of documents differ; the caller must make sure that the documents are the same.
    """
    documents = len(challenger.nats)
    if documents != len(incumbent.nats):
        raise ValueError(f"losses of {documents:,} documents cannot be paired with those of {len(incumbent.nats):,}")
    low = high = difference = better = None
    if all(map(isfinite, (*challenger.nats, *incumbent.nats))):
        differences = [one - other for one, other in zip(challenger.nats, incumbent.nats, strict=True)]
        difference = fsum(differences) / documents
        if documents > 1:
            means = _resample([differences], seed, resamples)[0] / documents
            low, high = _interval(means)
            better = float((means < 0).mean())
    return PairedComparison(
        documents=documents,
        resamples=resamples,
        challenger=_finite(nats_per_document(challenger)),
        incumbent=_finite(nats_per_document(incumbent)),
        difference=difference,
        low=low,
        high=high,
        better_share=better,
        wins=high is not None and high < 0,
    )


def _resample(columns: Sequence[Sequence[float]], seed: int, resamples: int) -> "NDArray[np.float64]":
    """Sums of each column over documents drawn with replacement, of shape [columns, resamples]."""
    import numpy as np

    values = np.array(columns, dtype=np.float64)
    documents = values.shape[1]
    generator = np.random.default_rng(seed)
    sums = np.empty((len(values), resamples))
    step = max(1, CHUNK // documents)
    for begin in range(0, resamples, step):
        drawn = generator.integers(documents, size=(min(step, resamples - begin), documents))
        for column, row in zip(values, sums, strict=True):
            row[begin : begin + step] = column[drawn].sum(axis=1)
    return sums


def _interval(values: "NDArray[np.float64]") -> tuple[float, float]:
    import numpy as np

    low, high = np.quantile(values, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def _finite(value: float) -> float | None:
    return value if isfinite(value) else None
