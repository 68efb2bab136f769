"""Tiny real runs of the whole flow: a run, the same run again, and runs that continue from its model."""

import base64
import json
import math
import re
import subprocess
from typing import Any

import pytest
import yaml

from flows.prepare import prepare
from flows.sample import sample, summary, write
from flows.train import summary as train_summary
from flows.train import train
from tasks.evaluation.corpus.text import report_markdown
from tasks.evaluation.models.prompts import NO_ROOM
from tasks.evaluation.reports.loss_plot import plot_losses
from tasks.parameters import Group, ModelParameters, ReleaseParameters, SampledModelParameters, SamplingParameters
from tasks.registry.locate import fetch_release, latest
from tasks.registry.verbs import list_releases
from tasks.settings import ROOT, settings
from tasks.stage.contents import read_comparison, read_history, read_prompts, read_report, read_samples
from tasks.stage.folders import read_manifest
from tasks.stage.references import ModelReference
from tasks.units import number
from tests.factories import prefect_records
from tests.factories.commands import parse_parameters
from tests.factories.prefect_records import run_of
from tests.factories.train_runs import TEMPLATE, Run, at, run_train, stamps

SAMPLING = SamplingParameters(prompts=("a d",), num_samples=2, max_length=8)


def release_of(run: Run) -> ReleaseParameters:
    release = run.parameters["release"]
    assert isinstance(release, ReleaseParameters)
    return release


def test_a_run_leaves_each_stage_whole(first: Run) -> None:
    stages = {path.name: list(path.iterdir()) for path in (first.folder / "data").iterdir()}
    [report] = stages.pop("reports")
    assert report.name == f"tiny-{first.result.release.version[:12]}.html"
    assert {name: len(made) for name, made in stages.items()} == {
        "corpus": 1, "base": 1, "tokens": 1, "report": 1, "weights": 1, "checkpoints": 0, "samples": 2, "release": 1,
        "heldout": 2, "comparison": 1,
    }  # fmt: skip
    assert all(read_manifest(folder) is not None for made in stages.values() for folder in made)
    assert first.result.lineage.weights.steps == 3
    assert first.result.lineage.weights.loss_after < first.result.lineage.weights.loss_before


def test_a_run_leaves_a_release_that_describes_itself(again: Run) -> None:
    fetched = fetch_release(latest(release_of(again)))
    assert fetched.version == again.result.release.version
    assert {path.name for path in fetched.folder.iterdir()} >= {
        "README.md", "config.json", "generation_config.json", "history.json", "model.safetensors", "parameters.yaml",
        "release.json", "report.html", "samples.json", "templates.json", "tokenizer.json",
    }  # fmt: skip
    assert json.loads((fetched.folder / "templates.json").read_text())[0]["template"] == TEMPLATE
    pairs = json.loads((fetched.folder / "samples.json").read_text())
    assert [(pair["prompt"], set(pair)) for pair in pairs] == [
        (prompt, {"prompt", "seed", "before", "after", "flags"}) for prompt in ("a d", "b", "c")
    ]
    held = "".join(path.read_text() for path in fetched.folder.glob("*.[jmy]*") if path.name != "tokenizer.json")
    assert str(again.folder.parent.parent) not in held, "a release holds no path of the machine that made it"


def test_a_release_states_its_figures_and_what_it_was_made_with(again: Run) -> None:
    listed = list_releases(release=release_of(again))
    facts, weights = listed.versions[0].facts, again.result.lineage.weights
    assert facts["loss_after"] == weights.loss_after
    assert facts["loss_floor"] == again.result.lineage.report.floor
    assert facts["corpus"]["documents"] == 36
    assert facts["weights_sha256"] == weights.model_sha256
    assert facts["libraries"]["torch"].startswith("2.13")
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert facts["git_commit"] == (commit.stdout.strip() or None)
    card = (fetch_release(latest(release_of(again))).folder / "README.md").read_text()
    assert f"{number(weights.loss_after)} nats per token" in card
    assert str(facts["git_commit"]) in card


def test_the_samples_before_and_after_have_the_same_prompts_and_seeds(first: Run) -> None:
    folder = first.folder / "data" / "samples"
    before, after = (
        json.loads((folder / made.key / "samples.json").read_text())
        for made in (first.result.lineage.before, first.result.lineage.after)
    )
    assert [(one["prompt"], one["seed"]) for one in before] == [(one["prompt"], one["seed"]) for one in after]
    assert len(before) == 3


def test_the_same_run_again_has_every_stage_cached_and_writes_nothing(again: Run) -> None:
    kept = stamps(settings().data)
    second = run_train(again.folder, again.parameters)
    assert prefect_records.states(second.id) == {
        "check destination": ["Completed"], "make corpus": ["Cached"],
        "make base model": ["Cached"], "make tokens": ["Cached"],
        "save preprocessed data": ["Completed"], "make report": ["Cached"], "show report": ["Completed"],
        "make samples": ["Cached", "Cached", "Cached"], "make weights": ["Cached"], "show training": ["Completed"],
        "find champion": ["Completed"], "measure held-out losses": ["Cached", "Cached"], "compare models": ["Cached"],
        "show comparison": ["Completed"], "publish release": ["Completed"],
    }  # fmt: skip
    assert stamps(settings().data) == kept
    assert second.result.release.uploaded_files == 0
    assert second.result.release.version == again.result.release.version


def test_the_first_release_that_beats_the_base_model_is_the_champion(again: Run) -> None:
    assert again.result.release.champion
    verdict = read_comparison(again.result.lineage.comparison).verdict
    assert (verdict.promote, verdict.opponent) == (True, "base model")
    assert verdict.comparison.documents == again.result.lineage.corpus.eval_documents


@pytest.mark.slow
def test_a_prompt_that_leaves_no_room_is_flagged_and_the_others_are_written(again: Run) -> None:
    sampling = SamplingParameters(prompts=("a d", "a d " * 400), held_out_prompts=0, num_samples=1, max_length=8)
    second = run_train(again.folder, {**again.parameters, "sampling": sampling})
    short, long = read_prompts(second.result.lineage.after)
    assert short.flags == ()
    assert NO_ROOM in long.flags
    assert [bool(one["text"]) for one in read_samples(second.result.lineage.after)] == [True, False]


def test_a_refusal_is_a_completed_run_that_says_why_and_leaves_the_champion(again: Run) -> None:
    strict = release_of(again).model_copy(update={"max_loss": 0.001})
    second = run_train(again.folder, {**again.parameters, "release": strict})
    assert not second.result.release.champion
    assert second.result.release.version != again.result.release.version
    named = {one.alias: one.version for one in list_releases(release=strict).aliases}
    assert named == {"latest": second.result.release.version, "champion": again.result.release.version}
    [summary] = prefect_records.read_artifacts(second.id, "summary")
    assert "max_loss" in str(summary.data).replace("&#95;", "_")
    report = fetch_release(latest(strict)).folder / "report.html"
    assert "max_loss" in report.read_text()


@pytest.mark.slow
def test_with_the_gate_off_every_version_is_the_champion(again: Run) -> None:
    off = release_of(again).model_copy(update={"max_loss": 0.001, "gate": "off"})
    assert run_train(again.folder, {**again.parameters, "release": off}).result.release.champion


@pytest.mark.slow
def test_a_file_that_was_altered_is_made_again_and_the_rest_is_cached(again: Run) -> None:
    preview = again.result.lineage.weights.folder / "history.json"
    before = json.loads(preview.read_text())
    preview.write_text("[]")
    second = run_train(again.folder, again.parameters)
    ended = prefect_records.states(second.id)
    assert ended.pop("make weights") == ["Completed"]
    assert ended["make tokens"] == ["Cached"]
    assert ended["make samples"] == ["Cached"] * 3, "the same training gives the same weights"
    assert second.result.lineage.weights.model_sha256 == again.result.lineage.weights.model_sha256
    assert len(json.loads(preview.read_text())) == len(before)


@pytest.mark.slow
def test_another_number_of_samples_trains_nothing_again(again: Run) -> None:
    second = run_train(again.folder, {**again.parameters, "sampling": SAMPLING})
    ended = prefect_records.states(second.id)
    assert ended["make weights"] == ["Cached"]
    assert sorted(ended["make samples"]) == ["Cached", "Completed", "Completed"]


def test_the_ui_shows_the_samples_side_by_side_and_the_training_at_its_end(first: Run) -> None:
    [shown] = prefect_records.read_artifacts(first.id, "samples")
    assert isinstance(shown.data, str)
    assert shown.type == "markdown"
    assert "#### 'a d'" in shown.data
    assert shown.data.count("    - challenger: ") == 3
    [summary] = prefect_records.read_artifacts(first.id, "summary")
    assert "beats the base model" in str(summary.data)
    [metrics] = prefect_records.read_artifacts(first.id, "metrics")
    assert "perplexity" in str(metrics.data)
    [link] = prefect_records.read_artifacts(first.id, "release")
    assert first.result.release.uri in str(link.data)
    [losses] = prefect_records.read_artifacts(first.id, "losses")
    made = first.result.lineage
    assert made.report.floor is not None
    with at(first.folder):
        history = read_history(made.weights)
    picture = base64.b64encode(plot_losses(history, floor=made.report.floor)).decode()
    assert str(losses.data).startswith(f"![losses over the steps](data:image/png;base64,{picture})")
    [last] = re.findall(r"\n\| 3 \| ([\d.]+) \|", str(losses.data))
    measured = [entry["eval_loss"] for entry in history if "eval_loss" in entry]
    assert float(last) == pytest.approx(measured[-1], abs=1e-4), "the curve, in the precision of the training"
    fp32 = made.weights.precision == "fp32"
    assert measured[-1] == pytest.approx(made.weights.loss_after, abs=1e-4 if fp32 else 1e-2), "loss_after is in fp32"
    [progress] = prefect_records.read_artifacts(first.id, "training")
    assert (progress.type, progress.data) == ("progress", 100)


def test_the_ui_shows_the_corpus_report_and_so_it_does_where_everything_was_done_before(again: Run) -> None:
    report = read_report(again.result.lineage.report)
    assert report.floor.nats_per_document == pytest.approx(math.log(36))
    assert again.result.lineage.report.floor == report.floor.nats_per_token
    [shown] = prefect_records.read_artifacts(again.id, "corpus-report")
    assert (shown.type, shown.data) == ("markdown", report_markdown(report))
    made = stamps(again.result.lineage.report.folder)
    prepared = prepare(corpus=again.parameters["corpus"], training=again.parameters["training"], return_state=True)
    assert prepared.result().report == again.result.lineage.report
    assert stamps(again.result.lineage.report.folder) == made, "it is shown again, not made again"
    [shown_again] = prefect_records.read_artifacts(run_of(prepared), "corpus-report")
    assert shown_again.data == shown.data


def test_the_summary_has_the_loss_floor_if_it_is_known(again: Run) -> None:
    assert read_comparison(again.result.lineage.comparison).floor == pytest.approx(math.log(36))
    assert "floor" in train_summary(again.result)


def test_the_summary_shows_the_samples_and_how_to_use_the_release(again: Run) -> None:
    said = train_summary(again.result)
    assert "'a d'" in said
    release = again.result.release
    assert f"--release.destination {release.destination} --release.name tiny" in said
    assert release.version[:12] in said


def test_the_newest_release_writes_and_the_same_seed_writes_the_same(again: Run) -> None:
    written = [write((), sampling=SAMPLING, release=release_of(again)) for _ in range(2)]
    assert written[0] == written[1]
    assert [one["prompt"] for one in written[0].samples] == ["a d", "a d"]
    assert written[0].samples[0]["seed"] != written[0].samples[1]["seed"]
    assert written[0].valid is not None
    other = write((), sampling=SAMPLING.model_copy(update={"seed": 1}), release=release_of(again))
    assert other.samples != written[0].samples
    assert summary(written[0]).splitlines()[0].startswith("a d")


def test_the_release_writes_what_the_run_showed_after_training(again: Run) -> None:
    sampling = again.parameters["sampling"]
    assert isinstance(sampling, SamplingParameters)
    written = write((), sampling=sampling, release=release_of(again)).samples
    assert written == read_samples(again.result.lineage.after)[: len(written)], "those of held-out documents come last"


def test_prompts_given_to_sample_come_before_those_of_the_parameters(again: Run) -> None:
    written = write(("c e",), sampling=SAMPLING, release=release_of(again))
    assert {one["prompt"] for one in written.samples} == {"c e"}


def test_the_flow_sample_shows_what_was_written(again: Run) -> None:
    state = sample(("a d",), sampling=SAMPLING, release=release_of(again), return_state=True)
    [shown] = prefect_records.read_artifacts(run_of(state), "samples")
    assert "| prompt | sample |" in str(shown.data)


@pytest.mark.slow
def test_the_parameters_of_a_release_repeat_the_run(again: Run) -> None:
    folder = fetch_release(latest(release_of(again))).folder
    given = parse_parameters(train, ["--config", str(folder / "parameters.yaml")])
    given["release"] = again.parameters["release"]  # parameters.yaml has no destination
    assert {name: given[name] for name in again.parameters} == again.parameters
    training = yaml.safe_load((folder / "parameters.yaml").read_text())["training"]
    assert training["max_steps"] == 3
    assert training["adam_beta2"] == 0.999  # defaults too: they may change, the run may not
    second = run_train(again.folder, given)
    assert second.result.lineage.weights == again.result.lineage.weights
    assert second.result.release.version == again.result.release.version


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["folder", "release"])
def test_training_continues_from_a_folder_or_a_release(kind: str, again: Run) -> None:
    name = latest(release_of(again)) if kind == "release" else str(again.result.lineage.weights.folder / "model")
    given: dict[str, Group] = {**again.parameters, "model": ModelParameters(name=name)}
    second = run_train(again.folder, given)
    assert second.result.lineage.weights.loss_before == pytest.approx(again.result.lineage.weights.loss_after, rel=1e-4)
    assert second.result.lineage.weights.key != again.result.lineage.weights.key
    assert second.result.release.version != again.result.release.version
    base, challenger, champion = second.result.lineage.contenders
    assert (base.role, challenger.role, champion.role) == ("base", "challenger", "champion")
    assert champion.model.sha256 == again.result.release.version
    assert champion.heldout.nats == pytest.approx(base.heldout.nats), "the base model is the champion"
    verdict = read_comparison(second.result.lineage.comparison).verdict
    assert verdict.opponent == again.result.release.version
    assert second.result.release.champion == verdict.promote
    report = (fetch_release(latest(release_of(again))).folder / "report.html").read_text()
    assert "champion" in report
    held = "".join(path.read_text() for path in (again.folder / "store").rglob("*.json") if path.name == "config.json")
    assert str(again.folder) not in held, "no path of the machine in a model that was made from a folder"


def test_a_folder_can_be_sampled(again: Run) -> None:
    name = str(again.result.lineage.weights.folder / "model")
    written = write((), model=SampledModelParameters(name=name), sampling=SAMPLING)
    assert written.valid is None, "a folder of a model has no template"
    assert len(written.samples) == 2


def test_references_hold_no_path(first: Run) -> None:
    results: list[dict[str, Any]] = [json.loads(path.read_text()) for path in (first.folder / "results").iterdir()]
    assert len(results) == 10
    text = "".join(json.dumps(result["result"]) for result in results)
    assert str(first.folder) not in text
    assert ModelReference.model_fields["path"].default is None
