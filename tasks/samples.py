"""Samples: the texts that a model writes after prompts.

What comes in: a model, the sampling parameters, and the corpus, whose held-out documents give further prompts and whose
templates say which samples are valid. What it leaves: `data/samples/<key>/samples.json`, each sample with its prompt
and seed, and `prompts.json`, each prompt with its flags.
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks.evaluation.models.novelty import valid_documents
from tasks.evaluation.models.prompts import NO_ROOM, choose_prompts
from tasks.evaluation.tables import markdown_table
from tasks.observability.artifacts import show
from tasks.parameters import SamplingParameters
from tasks.spintax import Template
from tasks.stage.contents import load_templates, read_samples, sample_heldout
from tasks.stage.folders import Facts, digest, json_text
from tasks.stage.references import Corpus, ModelReference, Samples
from tasks.stage.stage import stage

VERSION = 3


def samples_key(model_sha256: str, corpus_sha256: str, sampling: SamplingParameters) -> str:
    """The key of the samples: the model, the sampling parameters, and the corpus that validates them."""
    return digest("samples", VERSION, model_sha256, corpus_sha256, sampling.model_dump())


def _log_samples(samples: list[dict[str, Any]]) -> None:
    for sample in samples:
        print(f"samples: {sample['prompt']!r} -> {sample['text']!r}")


@stage(
    Samples,
    "make samples",
    lambda model, corpus, sampling: samples_key(model.sha256, corpus.sha256, sampling),
    log_more=lambda made: _log_samples(read_samples(made)),
)
def make_samples(folder: Path, model: ModelReference, corpus: Corpus, sampling: SamplingParameters) -> Facts:
    """Write samples after each prompt."""
    from tasks.modeling.generation import generate_where_it_fits, has_room
    from tasks.modeling.happy import TunableGeneration

    templates = load_templates(corpus)
    held_out = sample_heldout(corpus, sampling.held_out_prompts)
    prompts = choose_prompts(sampling.prompts, held_out, templates)
    generator = TunableGeneration(model.type, model.load_from, revision=model.revision)
    samples = [one.as_dict() for one in generate_where_it_fits(generator, [one.text for one in prompts], sampling)]
    flagged = [one if has_room(generator, one.text, sampling) else one.flagged(NO_ROOM) for one in prompts]
    (folder / "samples.json").write_text(json_text(samples), encoding="utf-8")
    (folder / "prompts.json").write_text(json_text([asdict(one) for one in flagged]), encoding="utf-8")
    return {"count": len(samples), "valid": count_valid(samples, templates)}


@task(name="show samples", cache_policy=NO_CACHE, persist_result=False)
def show_samples(model: str, samples: list[dict[str, Any]]) -> None:
    """Show the samples of one model in the log and in the UI."""
    _log_samples(samples)
    rows = [(repr(sample["prompt"]), sample["text"]) for sample in samples]
    show("samples", markdown_table(("prompt", "sample"), rows), f"Samples of {model}")


def write_samples(model: ModelReference, sampling: SamplingParameters) -> list[dict[str, Any]]:
    """The samples of a model as dictionaries: `prompt`, `seed`, `text`, `document`. Needs no Prefect server."""
    from tasks.modeling.generation import generate
    from tasks.modeling.happy import TunableGeneration

    generator = TunableGeneration(model.type, model.load_from, revision=model.revision)
    return [sample.as_dict() for sample in generate(generator, sampling.prompts, sampling)]


def count_valid(samples: list[dict[str, Any]], templates: list[Template]) -> int | None:
    """How many samples are sentences of the templates; None without templates."""
    return sum(valid_documents([sample["document"] for sample in samples], templates)) if templates else None
