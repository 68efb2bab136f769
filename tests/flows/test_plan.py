"""`python flows/train.py --plan`: shows what a run would need, and leaves only the stages before training."""

import inspect
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from flows.cli.arguments import parse_arguments
from flows.cli.command import run
from flows.prepare import prepare
from flows.train import plan, train
from tasks.corpus import check_sources
from tasks.errors import InputError
from tasks.parameters import (
    CorpusParameters,
    ModelParameters,
    ReleaseParameters,
    SamplingParameters,
    TokenParameters,
    TrainingParameters,
)
from tasks.settings import settings
from tests.factories.commands import Ended, run_script

TEMPLATE = "{a|b|c} {d|e} {f|g|h} {x|y}"


def planned(**training: Any) -> dict[str, Any]:
    shown = plan(
        corpus=CorpusParameters(template=TEMPLATE), tokens=TokenParameters(), model=ModelParameters(),
        training=TrainingParameters(**training), sampling=SamplingParameters(prompts=("a d",)),
        release=ReleaseParameters(), as_json=True,
    )  # fmt: skip
    read: dict[str, Any] = json.loads(shown)
    return read


@pytest.mark.slow
def test_the_plan_of_a_run_leaves_the_stages_before_training_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text(f"corpus: {{template: '{TEMPLATE}'}}\ntraining: {{batch_size: 2}}\n")
    ended = run_script(
        "train", "--plan", "--json", "--config", tmp_path / "run.yaml", "--release.destination", tmp_path / "store",
        timeout_s=280,
    )  # fmt: skip
    assert ended.code == 0, ended.err
    shown = json.loads(ended.out)
    assert shown["corpus"]["documents"] == 36
    assert shown["steps"]["batch_size"] == 2
    assert shown["time"]["estimate"] > shown["time"]["step"] > 0
    assert shown["memory"]["fits"]
    assert {path.name for path in settings().data.iterdir()} == {"corpus", "base", "tokens", "report"}
    assert not (tmp_path / "store").exists()
    assert "Prefect server" not in ended.err


def test_memory_that_is_too_small_is_reported_with_what_to_change_and_nothing_is_timed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from tasks.modeling import footprint

    small = footprint.DeviceMemory("CPU (1 cores)", "cpu", 2**20, 2**20)
    monkeypatch.setattr(footprint, "device_memory", lambda: small)
    shown = planned(batch_size=4)
    assert shown["time"] is None
    assert shown["no_time"] == "the memory is too small"
    assert "--training.batch-size 2 --training.gradient-accumulation-steps 2" in shown["warnings"][0]
    assert "checkpoint is kept" not in shown["warnings"][0], "that is true in a training only"


def test_several_processes_and_adapters_are_counted_but_not_timed() -> None:
    shown = planned(max_steps=7, num_processes=2, lora_rank=2)
    assert shown["steps"]["total"] == 7
    assert shown["steps"]["processes"] == 2
    assert shown["size"]["trained"] < shown["size"]["parameters"]
    assert shown["no_time"] == "it is measured with one process only"
    assert any("lora-rank" in warning for warning in shown["warnings"])


def test_plan_and_json_are_switches_of_train_only() -> None:
    arguments = parse_arguments(train.fn, ["--plan", "--json", "--training.batch-size", "2"], script="train")
    assert arguments.switches == {"plan", "json"}
    assert set(arguments.parameters) == set(inspect.signature(train.fn).parameters)
    assert parse_arguments(train.fn, [], script="train").switches == frozenset()
    with pytest.raises(InputError, match="Unknown option: --plan"):
        parse_arguments(prepare.fn, ["--plan"], script="prepare")


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["--plan", "--training.fp16", "--corpus.template", TEMPLATE], "fp16 needs a CUDA GPU"),
        (["--json"], "there is no --plan"),
        (["--plan", "--corpus.template", "{a"], "corpus.template:1:1"),
    ],
)
def test_bad_input_of_a_plan_is_reported_in_one_sentence(
    words: list[str], wanted: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["flows/train.py", *words])
    with pytest.raises(SystemExit) as ended:
        run(train, check=lambda parameters: check_sources(parameters["corpus"]), plan=plan)
    ended_as = Ended(2 if ended.value.code == 2 else 1, *capsys.readouterr())
    assert wanted in ended_as.sentence
    assert ended_as.out == ""
