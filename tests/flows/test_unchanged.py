"""With `skip_unchanged`, a run that would make the newest release again ends at once and says so."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flows.train import Trained, summary, train
from tasks.parameters import (
    CorpusParameters,
    ModelParameters,
    ReleaseParameters,
    RunParameters,
    SamplingParameters,
    TokenParameters,
    TrainingParameters,
)
from tasks.settings import settings
from tasks.stage.references import Weights
from tasks.unchanged import Unchanged, find_unchanged
from tests.factories import prefect_records
from tests.factories.prefect_records import run_of
from tests.factories.train_runs import TEMPLATE, Run, run_train, stamps


@pytest.fixture
def elsewhere(again: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """The run, seen from a machine that has only its release: the data folder is empty."""
    monkeypatch.setenv("SPINNERET_DATA", str(tmp_path / "elsewhere"))
    settings.cache_clear()
    yield again
    settings.cache_clear()


def changed(run: Run, **other: Any) -> RunParameters:
    """The parameters of a run, with other groups."""
    return RunParameters(**{**run.parameters, **other})


def test_the_same_run_is_unchanged_and_makes_nothing_on_any_machine(elsewhere: Run) -> None:
    state = train(**elsewhere.parameters, skip_unchanged=True, return_state=True)
    left = state.result()
    assert isinstance(left, Unchanged)
    assert state.is_completed()
    assert state.message == left.sentence()
    name = f"tiny@{elsewhere.result.release.version[:12]}"
    assert left.sentence().startswith(f"unchanged since release {name} of 20")
    assert left.version == elsewhere.result.release.version
    assert summary(left) == left.sentence()
    assert not settings().data.exists()
    assert set(prefect_records.states(run_of(state))) == {"check destination", "look for changes"}
    [link] = prefect_records.read_artifacts(run_of(state), "release")
    assert left.sentence() in str(link.description)


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"corpus": CorpusParameters(template=TEMPLATE, seed=1)}, "the corpus"),
        ({"corpus": CorpusParameters(template="{a|b} {c|d|e} {f|g}")}, "the corpus"),
        ({"model": ModelParameters(name="scratch-125m")}, "the base model"),
        ({"tokens": TokenParameters(block_size=16)}, "the tokenization"),
        ({"training": TrainingParameters(max_steps=4)}, "the training"),
        ({"sampling": SamplingParameters(prompts=("a d",))}, "the sampling"),
    ],
    ids=["seed", "template", "base model", "tokens", "training", "sampling"],
)
def test_what_changed_is_logged(
    elsewhere: Run, other: dict[str, Any], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert find_unchanged.fn(changed(elsewhere, **other)) is None
    version = elsewhere.result.release.version[:12]
    assert f"changes: since tiny@{version}, {said} changed\n" in capsys.readouterr().out
    assert not settings().data.exists()


def test_several_changes_are_logged_together(elsewhere: Run, capsys: pytest.CaptureFixture[str]) -> None:
    release = elsewhere.parameters["release"]
    assert isinstance(release, ReleaseParameters)
    other = changed(
        elsewhere, training=TrainingParameters(max_steps=3, seed=7), release=release.model_copy(update={"gate": "off"})
    )
    assert find_unchanged.fn(other) is None
    assert "the base model and the training and the gate changed" in capsys.readouterr().out


def test_a_parameter_that_does_not_change_the_weights_is_not_a_change(elsewhere: Run) -> None:
    other = changed(elsewhere, training=TrainingParameters(max_steps=3, save_steps=1, preprocessing_processes=2))
    assert find_unchanged.fn(other) is not None


def test_without_a_release_the_run_is_not_unchanged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    release = ReleaseParameters(destination=str(tmp_path / "store"))
    assert find_unchanged.fn(RunParameters(release=release)) is None
    assert f"there is no {tmp_path}/store/spinneret@latest yet" in capsys.readouterr().out


@pytest.mark.slow
def test_continual_training_is_unchanged_until_the_corpus_changes(again: Run) -> None:
    release = again.parameters["release"]
    assert isinstance(release, ReleaseParameters)
    champion = ModelParameters(name=f"{release.destination}/{release.name}@champion")
    other = {**again.parameters, "model": champion, "release": release.model_copy(update={"gate": "off"})}
    learned = run_train(again.folder, other)
    assert learned.result.lineage.base.sha256 == again.result.release.version
    assert find_unchanged.fn(RunParameters(**other)) is not None
    new = {**other, "corpus": CorpusParameters(template=TEMPLATE + " z")}
    assert find_unchanged.fn(RunParameters(**new)) is None


@pytest.mark.slow
def test_force_trains_although_the_weights_exist(again: Run) -> None:
    before = stamps(Weights.folder_of(again.result.lineage.weights.key))
    state = train(**again.parameters, skip_unchanged=True, force=True, return_state=True)
    assert state.is_completed(), state.message
    ended = prefect_records.states(run_of(state))
    assert ended["forget weights"] == ["Completed"]
    assert ended["make weights"] == ["Completed"]
    assert ended["make tokens"] == ["Cached"]
    after = stamps(Weights.folder_of(again.result.lineage.weights.key))
    assert set(after) == set(before)
    assert not [path for path in after if after[path] == before[path] and path.endswith("json")]
    left = state.result()
    assert isinstance(left, Trained)
    assert left.release.version == again.result.release.version
