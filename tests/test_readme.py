"""What the README says can be typed: every command's flags exist, every table of parameters is complete."""

import re
import shlex
from typing import Any

import pytest
from prefect import Flow
from prefect.flows import load_flow_from_entrypoint

from flows.cli.arguments import parse_arguments, parse_parameters
from flows.release import VERBS
from tasks.parameters import Group
from tasks.settings import ROOT
from tasks.spintax.__main__ import make_parser

README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```sh\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)
LINES = [line for block in BLOCKS for line in block.splitlines() if line.startswith("python flows/")]


@pytest.mark.parametrize("line", LINES)
def test_a_command_of_the_readme_is_understood(line: str) -> None:
    _, script, *words = shlex.split(line, comments=True)
    name = script.removeprefix("flows/").removesuffix(".py")
    if name == "release":
        verb, *words = words
        assert parse_arguments(VERBS[verb], words, script=name, verb=verb).parameters
        return
    flow: Flow[..., Any] = load_flow_from_entrypoint(f"{ROOT / script}:{name}")
    assert parse_arguments(flow.fn, words, script=name).parameters


def test_the_readme_names_every_verb_of_a_release() -> None:
    assert {line.split()[2] for line in LINES if line.startswith("python flows/release.py")} == set(VERBS)


EDITOR = [line for block in BLOCKS for line in block.splitlines() if line.startswith("python -m tasks.spintax ")]


@pytest.mark.parametrize("line", EDITOR)
def test_a_command_of_the_spintax_editor_is_understood(line: str) -> None:
    options = make_parser().parse_args(shlex.split(line, comments=True)[3:])
    assert options.template.endswith(".spintax")


def test_the_readme_names_the_editor_and_every_benchmark() -> None:
    assert EDITOR
    runnable = [path.name for path in (ROOT / "benchmarks").glob("*.py") if "__main__" in path.read_text()]
    assert all(f"python benchmarks/{name}" in README for name in runnable)


def test_the_seeds_run_is_one_command_of_the_readme() -> None:
    line = next(line for line in LINES if "gpt-neo-1.3B" in line)
    parameters = parse_parameters(load_flow_from_entrypoint(f"{ROOT / 'flows/train.py'}:train"), shlex.split(line)[2:])
    training = parameters["training"]
    assert parameters["model"].name == "EleutherAI/gpt-neo-1.3B"
    assert (training.learning_rate, training.num_train_epochs, training.batch_size) == (8e-5, 2, 4)


def test_the_readmes_table_names_every_parameter() -> None:
    parameters = parse_parameters(load_flow_from_entrypoint(f"{ROOT / 'flows/train.py'}:train"), [])
    groups = {name: values for name, values in parameters.items() if isinstance(values, Group)}
    for group, values in groups.items():
        row = next(line for line in README.splitlines() if line.startswith(f"| `{group}` |"))
        assert re.findall(r"`(\w+)`", row)[1:] == list(type(values).model_fields)
