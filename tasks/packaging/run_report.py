"""The data of the HTML report, read from the folders of the stages."""

from typing import Any

from tasks.evaluation.reports.html import ReportData, render_html
from tasks.packaging.facts import portable, steady_history
from tasks.stage.contents import read_comparison, read_environment, read_history, read_report
from tasks.stage.folders import read_timing
from tasks.stage.lineage import Lineage, Release
from tasks.stage.references import Reference

REPORT = "report.html"


def render_report(
    lineage: Lineage, parameters: dict[str, dict[str, Any]], title: str, *, release: Release | None = None
) -> str:
    """The HTML report of a run.

    The report that is published with a release has neither timings nor the release's own version, so that the same run
    gives the same release; `release` adds both.
    """
    return render_html(
        ReportData(
            title=title,
            figures=read_comparison(lineage.comparison),
            history=steady_history(read_history(lineage.weights)),
            floor_per_token=lineage.report.floor,
            corpus=read_report(lineage.report),
            parameters=parameters,
            timings=_timings(lineage) if release else {},
            environment=read_environment(lineage.weights),
            lineage=[*_digests(lineage), *([("release", release.name, release.version)] if release else [])],
        )
    )


def _timings(lineage: Lineage) -> dict[str, float]:
    """Seconds that each stage took when its folder was made, which may have been in an earlier run."""
    stages: dict[str, Reference] = {
        "corpus": lineage.corpus,
        "tokens": lineage.tokens,
        "corpus report": lineage.report,
        "weights": lineage.weights,
    }
    for one in lineage.contenders:
        stages[f"samples, {one.role}"] = one.samples
        stages[f"held-out losses, {one.role}"] = one.heldout
    stages["comparison"] = lineage.comparison
    return {name: read_timing(one.folder) for name, one in stages.items()}


def _digests(lineage: Lineage) -> list[tuple[str, str, str]]:
    """Stage, description and digest."""
    base, sources = lineage.base, read_report(lineage.report).sources
    return [
        *((one.kind, one.name, one.sha256) for one in sources),
        ("corpus", lineage.corpus.describe(), lineage.corpus.sha256),
        ("base model", portable(base.name), base.sha256),
        ("tokens", lineage.tokens.describe(), lineage.tokens.sha256),
        ("weights", f"{lineage.weights.steps:,} steps", lineage.weights.model_sha256),
        *((f"samples, {one.role}", one.samples.describe(), one.samples.sha256) for one in lineage.contenders),
    ]
