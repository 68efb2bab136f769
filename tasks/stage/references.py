"""References to the folders `data/<stage>/<key>/`, as a key, a digest and counts: tasks pass these and not the data.

A key is the sha256 of the inputs' digests, of the parameters that change the output and of the stage's version. No path
is stored, so a reference is valid on every machine that has the folder.
"""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict

from tasks.settings import settings
from tasks.stage.folders import Facts, digest, make_folder, read_manifest
from tasks.units import count


class Reference(BaseModel):
    """A stage folder that is whole; `sha256` is the digest of its files' names, sizes and contents."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    stage: ClassVar[str]
    log_name: ClassVar[str | None] = None
    """The name of the stage in the log, where that is not `stage`."""

    key: str
    sha256: str

    @property
    def folder(self) -> Path:
        """The folder on this machine."""
        return self.folder_of(self.key)

    @classmethod
    def folder_of(cls, key: str) -> Path:
        """The folder of a key, whether it exists or not."""
        return settings().data / cls.stage / key

    @classmethod
    def find(cls, key: str) -> Self | None:
        """The reference of a folder that is whole, or None."""
        manifest = read_manifest(cls.folder_of(key))
        return None if manifest is None else cls._of(key, manifest)

    @classmethod
    def make(cls, key: str, fill: Callable[[Path], Facts]) -> Self:
        """Find the folder of `key`, or make it with `fill`, which writes into a folder and returns the counts."""
        return cls.find(key) or cls._of(key, make_folder(cls.folder_of(key), fill, timed=True))

    @classmethod
    def _of(cls, key: str, manifest: dict[str, Any]) -> Self:
        return cls(key=key, sha256=digest(manifest["files"]), **manifest["facts"])

    def describe(self) -> str:
        """One line with the counts, for logs."""
        raise NotImplementedError

    def log_line(self, model: str | None = None, *, cached: bool = False) -> str:
        """The line of the stage in the log of a run; `model` is the name of the model that the stage works on."""
        by = f", by {model}" if model else ""
        return f"{self.log_name or self.stage}: {'cached, ' if cached else ''}{self.describe()}{by}"


class Corpus(Reference):
    """`train.jsonl` and `eval.jsonl`, deduplicated, in order; `sources.json`: what they came from and how they split.

    read = documents + duplicates + empty + sum(rejected), documents = train_documents + eval_documents.
    """

    stage = "corpus"

    read: int
    documents: int
    duplicates: int
    empty: int
    rejected: dict[str, int]
    """Reason → documents."""
    train_documents: int
    eval_documents: int
    derivations: int | None
    """Derivations of all templates together; None where the corpus has text files."""

    def describe(self) -> str:
        """Documents kept, dropped and split."""
        of = f" of {self.derivations:,}" if self.derivations else ""
        return (
            f"{self.documents:,} documents{of} ({self.duplicates:,} duplicate, {self.empty:,} empty, "
            f"{sum(self.rejected.values()):,} rejected), "
            f"{self.train_documents:,} to train on, {self.eval_documents:,} held out"
        )


class Base(Reference):
    """A base model with random weights and its tokenizer, as Hugging Face lays out a model folder."""

    stage = "base"
    log_name = "base model"

    parameters: int
    vocabulary: int

    def describe(self) -> str:
        """Size of the model and of its vocabulary."""
        return f"{self.parameters:,} random weights, a vocabulary of {self.vocabulary:,} tokens"

    def log_line(self, model: str | None = None, *, cached: bool = False) -> str:
        """The line begins with the name of the preset."""
        return f"{self.log_name}: {'cached, ' if cached else ''}{model}, {self.describe()}"


class TokenBlocks(Reference):
    """`train.json` and `eval.json` (blocks of token ids) and `preview.json` (text, token strings and ids)."""

    stage = "tokens"

    block_size: int
    train_blocks: int
    eval_blocks: int
    train_tokens: int
    eval_tokens: int
    longest_document: int | None = None
    """Tokens of the longest document, its end-of-text token included; None where the blocks came ready-made."""
    documents_over_block: int | None = None
    """Documents with more tokens than a block; None where the blocks came ready-made."""

    def describe(self) -> str:
        """Tokens and blocks."""
        return (
            f"{self.train_tokens:,} tokens in {self.train_blocks:,} blocks of {self.block_size:,} to train on, "
            f"{self.eval_tokens:,} in {self.eval_blocks:,} held out"
        )


class Report(Reference):
    """`report.json`: the figures of a corpus."""

    stage = "report"

    floor: float | None
    """The lowest possible loss on the held-out documents, in nats per token; None where it is not known."""
    warnings: int

    def describe(self) -> str:
        """The floor, and how many warnings there are."""
        floor = "no known loss floor" if self.floor is None else f"loss floor {self.floor:.3f} nats per token"
        return f"{floor}, {count(self.warnings, 'warning')}"


class Weights(Reference):
    """`model/`: the fine-tuned model and its tokenizer, as Hugging Face lays it out.

    `history.json`: the losses; `environment.json`: the code and the libraries that made it.
    """

    stage = "weights"

    model_sha256: str
    """Digest of the files in `model/`: equal weights have equal digests."""
    steps: int
    epochs: float
    loss_before: float
    loss_after: float
    nats_per_document: float | None
    """Held-out loss after training, per document; None where the blocks do not show where documents end."""
    best_step: int | None
    """The step whose weights were kept; None for the last one."""
    precision: str
    processes: int
    seconds: float
    """Of training, since it began or resumed."""

    @property
    def perplexity(self) -> float:
        """Of the held-out tokens, after training."""
        return math.exp(self.loss_after)

    def describe(self) -> str:
        """Steps and the held-out loss before and after."""
        kept = "" if self.best_step is None else f", the best of which after step {self.best_step:,}"
        document = "" if self.nats_per_document is None else f", {self.nats_per_document:.2f} nats per document"
        return (
            f"{self.steps:,} steps in {self.seconds:.0f} s ({self.precision}){kept}, held-out loss "
            f"{self.loss_before:.3f} before, {self.loss_after:.3f} after (nats per token; perplexity "
            f"{self.perplexity:.2f}{document})"
        )


class Samples(Reference):
    """`samples.json`: each sample with its prompt and seed."""

    stage = "samples"

    count: int
    valid: int | None
    """Samples that are sentences of a template; None for text files."""

    def describe(self) -> str:
        """Number of samples, and of sentences of the template among them."""
        valid = "" if self.valid is None else f", {self.valid:,} of them sentences of the template"
        return f"{self.count:,} samples{valid}"


class HeldOut(Reference):
    """`heldout.json`: nats and tokens of each held-out document by one model."""

    stage = "heldout"
    log_name = "held out"

    documents: int
    tokens: int
    nats: float
    """Of all documents together."""

    @property
    def loss(self) -> float:
        """Nats per token."""
        return self.nats / max(self.tokens, 1)

    @property
    def nats_per_document(self) -> float:
        """Nats per document, with its end: comparable between tokenizers."""
        return self.nats / max(self.documents, 1)

    def describe(self) -> str:
        """The loss per token and per document."""
        losses = f"{self.loss:.3f} nats per token, {self.nats_per_document:.2f} per document"
        return f"{losses}, over {self.documents:,} documents"


class Comparison(Reference):
    """`comparison.json`: the figures of base model, challenger and champion, and the verdict of the gate."""

    stage = "comparison"

    promote: bool
    opponent: str
    """The base model, or the champion's version."""

    def describe(self) -> str:
        """The opponent; the verdict has its own log lines."""
        opponent = self.opponent[:12] if len(self.opponent) == 64 else f"the {self.opponent}"
        return f"the challenger against {opponent}"


class Package(Reference):
    """The folder that a release is published from: model, tokenizer, samples, history, parameters, model card."""

    stage = "release"

    def describe(self) -> str:
        """The content of the folder."""
        return "model, tokenizer, samples, history, parameters and model card"


class ModelReference(BaseModel):
    """A model that can be loaded: a model id at a commit of the Hugging Face Hub, or a folder."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    """The preset, model id, folder or release, as in the parameters."""
    type: str
    """Happy Transformer's model type."""
    sha256: str
    """Digest of the folder's files, or the commit of a model id: equal models have equal digests."""
    path: str | None = None
    """The folder, relative to the data folder if it is inside of it; None for a model id."""
    revision: str | None = None
    """The commit of a model id."""
    preset: str | None = None
    """The preset, for a model with random weights."""

    @classmethod
    def in_folder(cls, folder: Path, **fields: str | None) -> Self:
        """The reference of a model folder; if it is in the data folder, it is valid on any machine."""
        inside = folder.is_relative_to(settings().data)
        path = folder.relative_to(settings().data) if inside else folder.resolve()
        return cls(path=str(path), **fields)  # type: ignore[arg-type]

    @property
    def preset_key(self) -> str | None:
        """The key of the folder that a preset was built in; None for any other model."""
        return None if self.preset is None or self.path is None else Path(self.path).name

    @property
    def load_from(self) -> str:
        """What `from_pretrained` takes: the folder on this machine, or the model id."""
        return self.name if self.path is None else str(settings().data / self.path)
