"""The lineage of a release: references to all that it was made of, as they travel between tasks."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from tasks.stage.references import Comparison, Corpus, HeldOut, ModelReference, Report, Samples, TokenBlocks, Weights
from tasks.units import count, size


class Contender(BaseModel):
    """A model that is compared with others, its samples and its held-out losses."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    role: Literal["base", "challenger", "champion"]
    model: ModelReference
    samples: Samples
    heldout: HeldOut


class Lineage(BaseModel):
    """All that a release was made of, from the corpus to the samples."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    corpus: Corpus
    base: ModelReference
    tokens: TokenBlocks
    report: Report
    weights: Weights
    contenders: tuple[Contender, ...]
    """Base model, challenger, and the champion where there is one."""
    comparison: Comparison

    @property
    def before(self) -> Samples:
        """Samples of the base model."""
        return self.contenders[0].samples

    @property
    def after(self) -> Samples:
        """Samples of the fine-tuned model."""
        return self.contenders[1].samples


class Release(BaseModel):
    """A published version in the object store, and the aliases that point to it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    destination: str
    """As in the parameters."""
    version: str
    uri: str
    files: int
    bytes: int
    uploaded_files: int
    uploaded_bytes: int
    copied_files: int
    """Large files of the previous version that were copied inside the store, not uploaded again."""
    seconds: float
    """From opening the store until the alias was moved."""
    champion: bool
    """Whether the alias `champion` points to it."""

    def describe(self) -> str:
        """Its URI and what was uploaded."""
        return f"{self.uri} ({count(self.files, 'file')}, {self.bytes:,} bytes; {self._sent()})"

    def _sent(self) -> str:
        if not self.uploaded_files + self.copied_files:
            return "cached, nothing uploaded"
        copied = f", {count(self.copied_files, 'file')} copied inside the store" if self.copied_files else ""
        speed = size(int(self.uploaded_bytes / max(self.seconds, 0.1)))
        return (
            f"{count(self.uploaded_files, 'file')} uploaded{copied}, {size(self.uploaded_bytes)} in "
            f"{self.seconds:.1f} s, {speed}/s"
        )
