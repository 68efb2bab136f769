"""The folder that a release is published from, and the report of the run on this machine."""

import os
import shutil
from pathlib import Path
from typing import Any

import yaml

from tasks.evaluation.reports.model_card import model_card
from tasks.packaging.facts import describe_release, portable_parameters, steady_history
from tasks.packaging.run_report import REPORT, render_report
from tasks.parameters import RunParameters
from tasks.settings import settings
from tasks.stage.contents import load_templates, read_history, read_prompts, read_samples
from tasks.stage.folders import Facts, digest, ensure_folder, json_text, write_whole
from tasks.stage.lineage import Lineage, Release
from tasks.stage.references import Package, Samples

VERSION = 3
PUBLISHED = "published"
"""Subfolder of a package whose content is published as it is."""


def make_package(lineage: Lineage, parameters: RunParameters) -> Package:
    """Make `data/release/<key>/published/`, or find it there.

    The key follows from the content, which depends neither on the time nor on the machine: the same run gives the same
    release.
    """
    facts = describe_release(lineage, parameters.release)
    public, name = _public_parameters(parameters), parameters.release.name
    pairs = _pair_up(lineage.before, lineage.after)
    templates = [{"name": one.name, "template": one.text} for one in load_templates(lineage.corpus)]
    files = {
        "release.json": json_text(facts),
        "samples.json": json_text(pairs),
        "templates.json": json_text(templates),
        "history.json": json_text(steady_history(read_history(lineage.weights))),
        "parameters.yaml": yaml.safe_dump(public, sort_keys=False, allow_unicode=True),
        "README.md": model_card(name, facts, pairs),
        REPORT: render_report(lineage, public, name),
    }
    key = digest("release", VERSION, lineage.weights.model_sha256, files)

    def fill(folder: Path) -> Facts:
        published = folder / PUBLISHED
        published.mkdir()
        for path in sorted((lineage.weights.folder / "model").iterdir()):
            _link(path, published / path.name)
        for name, text in files.items():
            (published / name).write_text(text, encoding="utf-8")
        return {}

    return Package.make(key, fill)


def write_report(lineage: Lineage, parameters: RunParameters, release: Release) -> None:
    """Write the report of a run, with the timings of this machine, to `data/reports/`."""
    path = report_path(release)
    text = render_report(lineage, _public_parameters(parameters), release.name, release=release)
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        ensure_folder(path.parent)
        write_whole(path, text)


def report_path(release: Release) -> Path:
    """The report of the run that made a release, on this machine."""
    return settings().data / "reports" / f"{release.name}-{release.version[:12]}.html"


def _public_parameters(parameters: RunParameters) -> dict[str, dict[str, Any]]:
    return portable_parameters(parameters.model_dump(mode="json", exclude_none=True))


def _pair_up(before: Samples, after: Samples) -> list[dict[str, Any]]:
    """Samples of two models, paired by prompt and seed."""
    flags = {prompt.text: prompt.flags for prompt in read_prompts(after)}
    return [
        {
            "prompt": one["prompt"], "seed": one["seed"], "before": one["text"], "after": other["text"],
            "flags": flags[one["prompt"]],
        }
        for one, other in zip(read_samples(before), read_samples(after), strict=True)
    ]  # fmt: skip


def _link(source: Path, target: Path) -> None:
    """Link a large file that nobody changes; copy it where the file system has no hard links."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
