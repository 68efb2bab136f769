"""The figures of a corpus report, as Pydantic models.

`Source`, `Counts`, `Split` and `Tokens` are inputs of the report; `CorpusReport` is the content of report.json.
Integers are exact at any size.
"""

from typing import Literal, Self

from pydantic import Field, model_validator

from tasks.evaluation.figures import Count, Figures, Share, UserText

HeldOutPair = tuple[int, tuple[int, int], tuple[int, int]]
"""Number of the template, then (slot, option) twice; all count from 0."""


class Source(Figures):
    """A template or a text file that documents were taken from."""

    name: UserText
    kind: Literal["template", "text"]
    line: Count | None = None
    """Line of the file where the template begins, from 1."""
    sha256: str
    """Digest of the content."""
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
    def _no_document_is_missing(self) -> Self:
        gone = self.duplicate + self.empty + sum(self.rejected.values())
        if self.read != self.kept + gone or self.kept != self.train + self.evaluation:
            raise ValueError(f"the counts of documents do not add up: {self!r}")
        return self


class Split(Figures):
    """How documents were held out: by line, or by pairs of options (`held_out`) that no training document contains."""

    kind: Literal["line", "combination"]
    held_out: tuple[HeldOutPair, ...] = ()

    @model_validator(mode="after")
    def _only_a_split_by_combination_holds_out_pairs(self) -> Self:
        if self.kind == "line" and self.held_out:
            raise ValueError("a split by line cannot hold out pairs of options")
        return self


class Tokens(Figures):
    """The corpus as tokens; end-of-text tokens are counted, padding is not."""

    block_size: Count
    train_tokens: Count
    eval_tokens: Count
    train_blocks: Count
    eval_blocks: Count
    longest_document: Count | None = None
    """In tokens; None if not known."""
    documents_over_block: Count | None = None
    """Documents that are longer than a block; None if not known."""


class SourceFigures(Source):
    """A source and, for a template, the number of its variants."""

    derivations: Count | None
    """None for a text file."""
    distinct: Count | None
    """None for a text file, and if counting takes too long."""


class Bin(Figures):
    """The documents with a length from `low` to `high`, inclusive."""

    low: Count
    high: Count
    documents: Count


class Lengths(Figures):
    """The distribution of document lengths."""

    shortest: Count
    median: float
    mean: float
    longest: Count
    bins: tuple[Bin, ...]


class TokenFigures(Tokens):
    """Token counts and the figures derived from them."""

    total_tokens: Count
    tokens_per_document: float | None
    """Mean over the kept documents."""
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
    """How much of the templates the training documents cover; equal options of a slot count once."""

    options_seen: Count
    options: Count
    never_seen: tuple[Option, ...]
    """The first few options that occur in no training document."""
    pairs_seen: Count | None
    """Pairs of options of two slots; None, like `pairs`, if there are too many to count."""
    pairs: Count | None
    """Pairs that training documents may contain: all but the held-out ones."""
    pairs_held_out: Count
    pairs_held_out_seen: Count
    """Held-out pairs that occur in a training document nevertheless: must be 0."""
    held_out: tuple[OptionPair, ...]
    """The first few held-out pairs."""


class Neighbours(Figures):
    """Held-out variants of templates, and the training documents that differ from them in exactly one slot."""

    sampled: Count
    with_neighbour: Count
    share: Share
    mean: float
    """Neighbours per sampled document."""


class SharedRuns(Figures):
    """Held-out documents from text files that share a run of words with a training document."""

    words: Count
    """Words in a run."""
    sampled: Count
    """Documents with at least that many words."""
    too_short: Count
    """Documents that were skipped because they have fewer."""
    with_run: Count
    share: Share | None
    """None if nothing was sampled."""


class Leak(Figures):
    """How much of the held-out documents leaks into the training documents."""

    overlap: Count
    """Held-out documents that are verbatim training documents: must be 0."""
    neighbours: Neighbours | None
    """None if no variant of a template is held out."""
    runs: SharedRuns | None
    """None if no document from a text file is held out."""


class SplitFigures(Figures):
    """The split, and what the loss on its held-out documents measures."""

    kind: Literal["line", "combination"]
    measures: str


class Floor(Figures):
    """The entropy of the templates: on average no model can have a lower loss on fresh documents."""

    kind: Literal["exact", "upper bound", "unknown"]
    reason: str
    """Why it is not exact; empty if it is."""
    nats_per_document: float | None = None
    bits_per_document: float | None = None
    nats_per_word: float | None = None
    nats_per_token: float | None = None
    """Over the held-out set, end-of-text tokens included; None if the tokens are not known."""
    perplexity: float | None = None
    """e to the power of nats_per_token."""


class CorpusReport(Figures):
    """All figures of a corpus; stored as report.json."""

    counts: Counts
    asked: Count | None
    """Documents that were requested from the templates."""
    template_documents: Count
    """Kept documents that are variants of a template."""
    own_documents: Count
    """Kept documents that are not."""
    sources: tuple[SourceFigures, ...]
    derivations: Count | None
    """Of all templates together; None without templates."""
    distinct: Count | None
    """Of all templates together; None without templates, and if counting takes too long."""
    characters: Lengths | None
    words: Lengths | None
    """Split on white space; None, like `characters`, if there is no document."""
    tokens: TokenFigures | None
    coverage: Coverage | None
    """None without templates."""
    split: SplitFigures
    leak: Leak
    floor: Floor
    fingerprints: dict[UserText, UserText]
    warnings: tuple[UserText, ...]
