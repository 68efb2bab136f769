"""Figures of a corpus report: what it is made from and what it holds, not how it is found.

What comes in: what the stages know of a corpus (`Source`, `Counts`, `Split`, `Tokens`). What it leaves: `CorpusReport`,
whose JSON is report.json. Models are frozen and refuse unknown names; whole numbers are exact at any size.
"""

from typing import Literal, Self

from pydantic import Field, model_validator

from tasks.evaluation.figures import Count, Figures, Share, UserText

HeldOutPair = tuple[int, tuple[int, int], tuple[int, int]]
"""Number of the template, then (slot, option) twice; everything counts from 0."""


class Source(Figures):
    """What documents were taken from."""

    name: UserText
    kind: Literal["template", "text"]
    line: Count | None = None
    """Where the template begins, from 1."""
    sha256: str
    """Fingerprint of the content."""
    documents: Count
    """Documents taken from it, before deduplication."""


class Counts(Figures):
    """Where each document went.

    read = kept + duplicate + empty + rejected and kept = train + evaluation, else ValueError.
    """

    read: Count
    kept: Count
    duplicate: Count
    empty: Count
    rejected: dict[UserText, Count] = Field(default_factory=dict)
    """Reason → documents."""
    train: Count
    evaluation: Count

    @model_validator(mode="after")
    def _no_document_goes_astray(self) -> Self:
        gone = self.duplicate + self.empty + sum(self.rejected.values())
        if self.read != self.kept + gone or self.kept != self.train + self.evaluation:
            raise ValueError(f"documents went astray: {self!r}")
        return self


class Split(Figures):
    """How documents were held out: by line, or by pairs of options (`held_out`) that no training document may hold."""

    kind: Literal["line", "combination"]
    held_out: tuple[HeldOutPair, ...] = ()

    @model_validator(mode="after")
    def _only_a_split_by_combination_holds_out_pairs(self) -> Self:
        if self.kind == "line" and self.held_out:
            raise ValueError("a split by line holds out no pairs of options")
        return self


class Tokens(Figures):
    """The corpus as tokens; end-of-text tokens are counted, padding is not."""

    block_size: Count
    train_tokens: Count
    eval_tokens: Count
    train_blocks: Count
    eval_blocks: Count
    longest_document: Count | None = None
    """In tokens; None where it is not known."""
    documents_over_block: Count | None = None
    """Documents that are longer than a block; None where it is not known."""


class SourceFigures(Source):
    """A source and, of a template, what it can give."""

    derivations: Count | None
    """None for own text."""
    distinct: Count | None
    """None for own text, and where counting takes too long."""


class Bin(Figures):
    """The documents of a length from `low` to `high`, both included."""

    low: Count
    high: Count
    documents: Count


class Lengths(Figures):
    """How long the documents are."""

    shortest: Count
    median: float
    mean: float
    longest: Count
    bins: tuple[Bin, ...]


class TokenFigures(Tokens):
    """Tokens and what follows from them."""

    total_tokens: Count
    tokens_per_document: float | None
    """Mean over the documents kept."""
    over_block_share: Share | None


class Option(Figures):
    """An option of a slot; slots count from 1."""

    template: UserText
    slot: Count
    option: UserText


class OptionPair(Figures):
    """Two options of two slots of one template."""

    first: Option
    second: Option


class Coverage(Figures):
    """What the training documents hold of the templates' slots; options that read the same in a slot count once."""

    options_seen: Count
    options: Count
    never_seen: tuple[Option, ...]
    """The first few of the options that no training document takes."""
    pairs_seen: Count | None
    """Pairs of options of two slots; None, with `pairs`, where there are too many to count."""
    pairs: Count | None
    """Pairs that training documents may hold: without those held out."""
    pairs_held_out: Count
    pairs_held_out_seen: Count
    """Held-out pairs that stand in a training document all the same: must be 0."""
    held_out: tuple[OptionPair, ...]
    """The first few of the pairs held out."""


class Neighbours(Figures):
    """Held-out variants of templates that have a training document exactly one slot away."""

    sampled: Count
    with_neighbour: Count
    share: Share
    mean: float
    """Neighbours of a sampled document."""


class SharedRuns(Figures):
    """Held-out own text that shares a run of words with a training document."""

    words: Count
    """Length of a run."""
    sampled: Count
    """Documents of at least so many words."""
    too_short: Count
    """Documents passed over, as they have fewer."""
    with_run: Count
    share: Share | None
    """None where nothing was sampled."""


class Leak(Figures):
    """How much of the held-out documents the training documents give away."""

    overlap: Count
    """Held-out documents that are training documents to the letter: must be 0."""
    neighbours: Neighbours | None
    """None without held-out variants of a template."""
    runs: SharedRuns | None
    """None without held-out own text."""


class SplitFigures(Figures):
    """The split and what a loss on its held-out documents measures."""

    kind: Literal["line", "combination"]
    measures: str


class Floor(Figures):
    """The entropy of what the templates print: no model can have a lower loss on fresh documents in the long run."""

    kind: Literal["exact", "upper bound", "unknown"]
    reason: str
    """Why it is not exact; empty where it is."""
    nats_per_document: float | None
    bits_per_document: float | None
    nats_per_word: float | None
    nats_per_token: float | None
    """Over the held-out set, end-of-text tokens included; None where the tokens are not known."""
    perplexity: float | None
    """e to the power of nats_per_token."""


class CorpusReport(Figures):
    """All that is known of a corpus; its JSON is report.json."""

    counts: Counts
    asked: Count | None
    """Documents that were to be drawn from the templates."""
    template_documents: Count
    """Documents kept that are variants of a template."""
    own_documents: Count
    """Documents kept that are not."""
    sources: tuple[SourceFigures, ...]
    derivations: Count | None
    """Of all templates together; None without templates."""
    distinct: Count | None
    """Of all templates together; None without templates, and where counting takes too long."""
    characters: Lengths | None
    words: Lengths | None
    """Split on white space; None, as `characters`, where there is no document."""
    tokens: TokenFigures | None
    coverage: Coverage | None
    """None without templates."""
    split: SplitFigures
    leak: Leak
    floor: Floor
    fingerprints: dict[UserText, UserText]
    warnings: tuple[UserText, ...]
