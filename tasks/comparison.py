"""Comparison: base model, challenger and champion on the same documents and prompts, and the verdict.

What comes in: contenders (references to samples and held-out losses), the corpus and its report, and the limits of the
gate. What it leaves: `data/comparison/<key>/comparison.json`, and in the UI a summary with the reasons of the verdict
and tables of metrics and samples. A refusal is a verdict, not a failure.
"""

from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks.evaluation.models import run_figures
from tasks.evaluation.models.gate import Guards
from tasks.evaluation.reports.markdown import metrics_markdown, samples_markdown, summary_markdown, verdict_text
from tasks.observability.artifacts import show
from tasks.parameters import ReleaseParameters
from tasks.stage.contents import (
    load_templates,
    read_comparison,
    read_heldout_losses,
    read_prompts,
    read_report,
    read_samples,
    read_split,
)
from tasks.stage.folders import Facts, digest
from tasks.stage.lineage import Contender
from tasks.stage.references import Comparison, Corpus, Report
from tasks.stage.stage import stage

VERSION = 1


def comparison_key(
    contenders: tuple[Contender, ...], corpus_sha256: str, report_sha256: str, release: ReleaseParameters
) -> str:
    """The key: samples, held-out losses and names of the contenders, the corpus, and the limits of the gate."""
    of_each = [(one.role, _name(one), one.samples.sha256, one.heldout.sha256) for one in contenders]
    return digest(
        "comparison", VERSION, of_each, corpus_sha256, report_sha256, release.gate, _guards(release).model_dump()
    )


@stage(
    Comparison,
    "compare models",
    lambda contenders, corpus, report, release: comparison_key(contenders, corpus.sha256, report.sha256, release),
)
def compare_models(
    folder: Path, contenders: tuple[Contender, ...], corpus: Corpus, report: Report, release: ReleaseParameters
) -> Facts:
    """Measure the contenders, and decide whether the challenger becomes the champion."""
    floor = read_report(report).floor
    figures = run_figures.measure_models(
        [_measured(one) for one in contenders],
        read_prompts(contenders[1].samples),
        [(one["prompt"], one["seed"]) for one in read_samples(contenders[1].samples)],
        templates=load_templates(corpus),
        train=lambda: read_split(corpus, "train"),
        floor=floor.nats_per_document if floor.kind == "exact" else None,
        guards=_guards(release),
        gate=release.gate,
    )
    (folder / "comparison.json").write_text(figures.model_dump_json(indent=1) + "\n", encoding="utf-8")
    return {"promote": figures.verdict.promote, "opponent": figures.verdict.opponent}


@task(name="show comparison", cache_policy=NO_CACHE, persist_result=False)
def show_comparison(comparison: Comparison) -> None:
    """Log the verdict, and show metrics and samples in the UI, in every run."""
    figures = read_comparison(comparison)
    for line in verdict_text(figures):
        print(f"gate: {line}")
    for key, markdown, description in (
        ("summary", summary_markdown(figures), "The verdict, and why"),
        ("metrics", metrics_markdown(figures), "Base model, challenger and champion, measured on the same documents"),
        ("samples", samples_markdown(figures), "Their samples for the same prompts and seeds"),
    ):
        show(key, markdown, description)


def _measured(one: Contender) -> run_figures.Contender:
    samples = read_samples(one.samples)
    return run_figures.Contender(
        role=one.role,
        name=_name(one),
        losses=read_heldout_losses(one.heldout),
        texts=[sample["text"] for sample in samples],
        documents=[sample["document"] for sample in samples],
    )


def _name(one: Contender) -> str:
    return one.model.sha256 if one.role == "champion" else one.model.name


def _guards(release: ReleaseParameters) -> Guards:
    return Guards(
        max_loss=release.max_loss,
        min_valid=release.min_valid,
        max_copied=release.max_copied,
        max_repetition=release.max_repetition,
    )
