"""The facts of a release."""

from pathlib import Path

import pytest

from tasks.packaging.facts import portable, portable_parameters, steady_history
from tasks.parameters import CorpusParameters, ModelParameters, ReleaseParameters, TrainingParameters
from tasks.settings import ROOT
from tasks.training import provenance as provenance_module
from tasks.training.provenance import LIBRARIES, provenance


def test_outside_of_a_checkout_no_commit_is_claimed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provenance_module, "ROOT", tmp_path)
    found = provenance()
    assert (found["git_commit"], found["git_changed"]) == (None, None)
    assert set(found["libraries"]) == set(LIBRARIES)


def test_without_git_no_commit_is_claimed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert provenance()["git_commit"] is None


def test_an_absolute_path_becomes_relative_or_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert portable(str(tmp_path / "own" / "lines.txt")) == "own/lines.txt"
    assert portable(str(ROOT / "data" / "templates" / "cheese.spintax")) == "data/templates/cheese.spintax"
    assert portable("/home/somebody/lines.txt") == "lines.txt"
    assert portable("~/lines.txt") == "lines.txt"
    for same in ("own/lines.txt", "EleutherAI/gpt-neo-125m", "scratch-tiny", "s3://bucket/prefix/name@latest"):
        assert portable(same) == same


def test_parameters_of_a_release_hold_no_path_and_no_destination() -> None:
    parameters = {
        "corpus": CorpusParameters(source=("/home/me/a.txt", "b.txt")),
        "model": ModelParameters(name="/home/me/model"),
        "training": TrainingParameters(load_preprocessed_data_path="/home/me/tokens.json"),
        "release": ReleaseParameters(destination="/home/me/store", name="n"),
    }
    held = portable_parameters(
        {name: group.model_dump(mode="json", exclude_none=True) for name, group in parameters.items()}
    )
    assert "/home" not in str(held)
    assert held["corpus"]["source"] == ["a.txt", "b.txt"]
    assert held["release"] == {"name": "n", "gate": "on"}
    assert held["training"]["load_preprocessed_data_path"] == "tokens.json"


def test_the_history_of_a_release_holds_nothing_that_a_busy_machine_changes() -> None:
    history = [{"step": 1, "loss": 2.0, "tokens_per_second": 99.0}, {"step": 1, "eval_loss": 1.5}]
    assert steady_history(history) == [{"step": 1, "loss": 2.0}, {"step": 1, "eval_loss": 1.5}]
