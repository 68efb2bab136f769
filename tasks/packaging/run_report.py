"""Run report: all that is known of a run, as one HTML file that opens from disk.

What comes in: the lineage of a release and the parameters of the run. What it leaves: the text of `report.html`. The
one that travels in a release has neither timings nor the release's own version, so that the same run gives the same
release.
"""

from typing import Any

from tasks.evaluation.reports.html import ReportData, render_html
from tasks.packaging.facts import portable, steady_history
from tasks.stage.contents import read_comparison, read_environment, read_history, read_report
from tasks.stage.folders import read_timing
from tasks.stage.lineage import Lineage, Release
from tasks.stage.references import Reference

REPORT = "report.html"


def run_report(lineage: Lineage, told: dict[str, dict[str, Any]], title: str, *, made: Release | None = None) -> str:
    """The report; `told` are the parameters as they may be shown, `made` what came of it, where that is known."""
    return render_html(
        ReportData(
            title=title,
            figures=read_comparison(lineage.comparison),
            history=steady_history(read_history(lineage.weights)),
            floor_per_token=lineage.report.floor,
            corpus=read_report(lineage.report),
            parameters=told,
            timings=_timings(lineage) if made else {},
            environment=read_environment(lineage.weights),
            lineage=[*_digests(lineage), *([("release", made.name, made.version)] if made else [])],
        )
    )


def _timings(lineage: Lineage) -> dict[str, float]:
    """Seconds that each stage took when it was made, which for a cached one was in an earlier run."""
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
    """Stage, what it is, digest."""
    base, sources = lineage.base, read_report(lineage.report).sources
    return [
        *((one.kind, one.name, one.sha256) for one in sources),
        ("corpus", lineage.corpus.describe(), lineage.corpus.sha256),
        ("base model", portable(base.name), base.sha256),
        ("tokens", lineage.tokens.describe(), lineage.tokens.sha256),
        ("weights", f"{lineage.weights.steps:,} steps", lineage.weights.model_sha256),
        *((f"samples, {one.role}", one.samples.describe(), one.samples.sha256) for one in lineage.contenders),
    ]
