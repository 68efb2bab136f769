"""Package: the folder that a release is published from, and the report of the run beside it.

What comes in: the lineage of a release and the parameters of the run. What it leaves: `data/release/<key>/published/`,
made of nothing that depends on the time or the machine, so that the same run gives the same release; and
`data/reports/<name>-<version>.html`, the report with the timings of this machine.
"""

import os
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from tasks.evaluation.reports.model_card import model_card
from tasks.packaging.facts import portable_parameters, release_facts, steady_history
from tasks.packaging.run_report import REPORT, run_report
from tasks.parameters import RunParameters
from tasks.settings import settings
from tasks.stage.contents import load_templates, read_history, read_prompts, read_samples
from tasks.stage.folders import Facts, digest, json_text, make_place
from tasks.stage.lineage import Lineage, Release
from tasks.stage.references import Package, Samples, Weights

VERSION = 3
PUBLISHED = "published"
"""Sub-folder of a package that is published as it is."""


def make_package(lineage: Lineage, told: RunParameters) -> Package:
    """The folder to publish; its key is its content's, so the same run gives the same release."""
    facts = release_facts(lineage, told.release)
    shown, name = shown_parameters(told), told.release.name
    pairs = _pair_up(lineage.before, lineage.after)
    templates = [{"name": one.name, "template": one.text} for one in load_templates(lineage.corpus)]
    files = {
        "release.json": json_text(facts),
        "samples.json": json_text(pairs),
        "templates.json": json_text(templates),
        "history.json": json_text(steady_history(read_history(lineage.weights))),
        "parameters.yaml": yaml.safe_dump(shown, sort_keys=False, allow_unicode=True),
        "README.md": model_card(name, facts, pairs),
        REPORT: run_report(lineage, shown, name),
    }
    key = digest("release", VERSION, lineage.weights.model_sha256, files)
    return Package.make(key, partial(_fill, lineage.weights, files))


def write_report(lineage: Lineage, told: RunParameters, release: Release) -> None:
    """Write the report of a run, with its timings, to `data/reports/`."""
    place = report_place(release)
    make_place(place.parent)
    text = run_report(lineage, shown_parameters(told), release.name, made=release)
    if place.is_file() and place.read_text(encoding="utf-8") == text:
        return
    partial_place = place.with_name(f".{place.name}.{os.getpid()}")
    partial_place.write_text(text, encoding="utf-8")
    partial_place.replace(place)


def report_place(release: Release) -> Path:
    """Where the report of the run that made a release lies on this machine."""
    return settings().data / "reports" / f"{release.name}-{release.version[:12]}.html"


def shown_parameters(told: RunParameters) -> dict[str, dict[str, Any]]:
    """Parameters as anybody may see them."""
    return portable_parameters(told.model_dump(mode="json", exclude_none=True))


def _pair_up(before: Samples, after: Samples) -> list[dict[str, Any]]:
    """The samples of two models, in pairs of equal prompt and seed."""
    flags = {prompt.text: prompt.flags for prompt in read_prompts(after)}
    return [
        {
            "prompt": one["prompt"], "seed": one["seed"], "before": one["text"], "after": other["text"],
            "flags": flags[one["prompt"]],
        }
        for one, other in zip(read_samples(before), read_samples(after), strict=True)
    ]  # fmt: skip


def _fill(weights: Weights, files: dict[str, str], folder: Path) -> Facts:
    published = folder / PUBLISHED
    published.mkdir()
    for path in sorted((weights.folder / "model").iterdir()):
        _link(path, published / path.name)
    for name, text in files.items():
        (published / name).write_text(text, encoding="utf-8")
    return {}


def _link(source: Path, target: Path) -> None:
    """A second name for a large file that nobody changes; a copy where the disk has no such thing."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
