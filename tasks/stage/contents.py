"""Read back what a stage left in its folder, from the reference to it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from tasks.dataset import BlockArray, read_block_array, read_jsonl_documents
from tasks.evaluation.corpus.figures import CorpusReport
from tasks.evaluation.models.bootstrap import HeldOutLosses
from tasks.evaluation.models.prompts import Prompt
from tasks.evaluation.models.run_figures import RunFigures
from tasks.spintax import Pair, Template
from tasks.stage.references import Comparison, Corpus, HeldOut, Report, Samples, TokenBlocks, Weights


class CorpusSource(BaseModel):
    """A template or a text file, and how many documents were taken from it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    """The name of the file, without its folder."""
    sha256: str
    documents: int
    template: str | None = None
    """The spintax; None for a text file."""
    line: int | None = None
    """Line of its file where the template begins, from 1."""


class CorpusSources(BaseModel):
    """The content of a corpus's `sources.json`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sources: tuple[CorpusSource, ...]
    """The templates first."""
    split: Literal["line", "combination"]
    pairs: tuple[tuple[Pair, ...], ...]
    """For each template the pairs of options that are held out; empty for a split by line."""

    def templates(self) -> list[Template]:
        """All templates, whether there are text files beside them or not."""
        return [
            Template.parse(source.template, source.name, source.line or 1)
            for source in self.sources
            if source.template is not None
        ]


def read_sources(corpus: Corpus) -> CorpusSources:
    """Where the documents of a corpus came from, and how they were split."""
    return CorpusSources.model_validate_json((corpus.folder / "sources.json").read_bytes())


def load_templates(corpus: Corpus) -> list[Template]:
    """The templates of a corpus; empty if some documents came from text files."""
    sources = read_sources(corpus)
    return [] if any(source.template is None for source in sources.sources) else sources.templates()


def read_stored_templates(path: Path) -> list[Template]:
    """The templates in a release's `templates.json`; empty if there is no such file."""
    stored = _read_entries(path) if path.is_file() else []
    return [Template.parse(entry["template"], name=entry["name"]) for entry in stored]


def read_split(corpus: Corpus, split: Literal["train", "eval"]) -> Iterator[str]:
    """Yield the training or the held-out documents, in order."""
    return read_jsonl_documents(corpus.folder / f"{split}.jsonl")


def sample_heldout(corpus: Corpus, limit: int) -> list[str]:
    """At most `limit` held-out documents, evenly spaced, so that a sorted corpus gives a fair sample."""
    documents = list(read_split(corpus, "eval"))
    if len(documents) <= limit:
        return documents
    return [documents[number * len(documents) // limit] for number in range(limit)]


def read_report(report: Report) -> CorpusReport:
    """The figures of a corpus."""
    return CorpusReport.model_validate_json((report.folder / "report.json").read_bytes())


def load_blocks(tokens: TokenBlocks, split: Literal["train", "eval"]) -> BlockArray:
    """The blocks of a split as arrays, 4 bytes per token.

    InputError if the file is damaged or its blocks are not those of the reference.
    """
    blocks = {"train": tokens.train_blocks, "eval": tokens.eval_blocks}[split]
    return read_block_array(tokens.folder / f"{split}.json", blocks=blocks, block_size=tokens.block_size)


def read_history(weights: Weights) -> list[dict[str, Any]]:
    """The entries of the training history, in order: `step` with `eval_loss`, or with `loss` and its speed."""
    return _read_entries(weights.folder / "history.json")


def read_environment(weights: Weights) -> dict[str, Any]:
    """The code and the libraries that trained the weights."""
    read: dict[str, Any] = json.loads((weights.folder / "environment.json").read_text(encoding="utf-8"))
    return read


def read_samples(samples: Samples) -> list[dict[str, Any]]:
    """The samples in order of their prompts: `prompt`, `seed`, `text`, `document`."""
    return _read_entries(samples.folder / "samples.json")


def read_prompts(samples: Samples) -> list[Prompt]:
    """The prompts of the samples, in order, with their flags."""
    entries = _read_entries(samples.folder / "prompts.json")
    return [Prompt(entry["text"], entry["source"], tuple(entry["flags"])) for entry in entries]


def read_heldout_losses(heldout: HeldOut) -> HeldOutLosses:
    """Nats and tokens of each held-out document, in order."""
    read = json.loads((heldout.folder / "heldout.json").read_text(encoding="utf-8"))
    return HeldOutLosses(tuple(read["nats"]), tuple(read["tokens"]))


def read_comparison(comparison: Comparison) -> RunFigures:
    """The figures of the compared models, and the verdict."""
    return RunFigures.model_validate_json((comparison.folder / "comparison.json").read_bytes())


def _read_entries(path: Path) -> list[dict[str, Any]]:
    read: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    return read
