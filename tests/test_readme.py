"""The documentation can be typed: its commands parse, its tables are complete, its links resolve."""

import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest
from prefect import Flow
from prefect.flows import load_flow_from_entrypoint

from flows.cli.arguments import SWITCHES, parse_arguments
from flows.release import VERBS
from tasks.parameters import Group, flag
from tasks.settings import ROOT
from tasks.spintax.__main__ import make_parser
from tests.factories.commands import parse_parameters

DOCUMENTS = sorted(
    {
        *ROOT.glob("*.md"),
        *(path for folder in ("benchmarks", "deployments", "tasks") for path in ROOT.glob(f"{folder}/**/*.md")),
    }
)
README = (ROOT / "README.md").read_text(encoding="utf-8")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
GROUPS = "corpus|tokens|model|training|sampling|release"


def fenced(text: str) -> list[str]:
    """The lines of shell blocks, continued lines joined."""
    blocks = re.findall(r"^```sh\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    return [line.strip() for block in blocks for line in block.replace("\\\n", "").splitlines()]


def inline(text: str) -> list[str]:
    """What stands between backticks outside of blocks; in tables a bar is escaped."""
    prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    return [" ".join(code.replace("\\|", "|").split()) for code in re.findall(r"(?<!`)`([^`]+)`(?!`)", prose)]


TEXTS = {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in DOCUMENTS}
CODE = [(name, code) for name, text in TEXTS.items() for code in (*fenced(text), *inline(text))]
COMMANDS = sorted({code for _, code in CODE if code.startswith(("python ", "make ", "pip ")) and "--help" not in code})


def starting(*beginnings: str) -> list[str]:
    return [command for command in COMMANDS if command.startswith(beginnings)]


def load(script: str) -> Flow[..., Any]:
    return load_flow_from_entrypoint(f"{ROOT / script}:{Path(script).stem}")


@pytest.mark.parametrize("command", starting("python flows/"))
def test_a_documented_command_of_a_flow_parses(command: str) -> None:
    _, script, *words = shlex.split(command, comments=True)
    name = Path(script).stem
    if name == "release":
        verb, *words = words
        assert parse_arguments(VERBS[verb], words, script=name, verb=verb).parameters
    else:
        assert parse_arguments(load(script).fn, words, script=name).parameters


ARGUMENTS = sorted({code for _, code in CODE if re.match(rf"--({GROUPS})\.[^ ]+ ", code)})


@pytest.mark.parametrize("arguments", ARGUMENTS)
def test_documented_arguments_parse_as_those_of_a_run(arguments: str) -> None:
    assert parse_arguments(load("flows/train.py").fn, shlex.split(arguments), script="train").parameters


def test_every_documented_flag_exists() -> None:
    parameters = parse_parameters(load("flows/train.py"), [])
    fields = {flag(group, field) for group, values in groups(parameters) for field in type(values).model_fields}
    named = {code for _, code in CODE if re.fullmatch(rf"--({GROUPS})\.[\w-]+", code)}
    assert {one.replace(".no-", ".") for one in named} <= fields
    switches = {"--" + name.replace("_", "-") for name in (*SWITCHES["train"], *parameters)}
    others = {code for code in inline(README) if re.fullmatch(r"--[\w-]+", code)} - switches - {"--no-dry-run"}
    assert not [one for one in others if one not in make_parser().format_help()]


def groups(parameters: dict[str, Any]) -> list[tuple[str, Group]]:
    return [(name, values) for name, values in parameters.items() if isinstance(values, Group)]


@pytest.mark.parametrize("command", starting("python -m tasks.spintax "))
def test_a_documented_command_of_the_template_preview_parses(command: str) -> None:
    words = shlex.split(command, comments=True)[3:]
    assert make_parser().parse_args(words).template.endswith(".spintax")


@pytest.mark.parametrize("command", starting("python benchmarks/"))
def test_a_documented_benchmark_exists_with_its_options(command: str) -> None:
    _, script, *words = shlex.split(command, comments=True)
    options = (ROOT / script).read_text(encoding="utf-8") + (ROOT / "benchmarks/judging.py").read_text(encoding="utf-8")
    assert all(f'"{word}"' in options for word in words if word.startswith("--"))


@pytest.mark.parametrize("command", starting("make "))
def test_a_documented_make_target_exists(command: str) -> None:
    targets = [word for word in shlex.split(command, comments=True)[1:] if "=" not in word]
    assert all(re.search(rf"^{re.escape(target)}:", MAKEFILE, flags=re.MULTILINE) for target in targets)


@pytest.mark.parametrize("command", starting("pip "))
def test_a_documented_installation_names_extras_that_exist(command: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert set(re.findall(r"\[([\w-]+)\]", command)) <= set(project["optional-dependencies"])


def test_the_readme_shows_every_verb_of_a_release_and_the_template_preview() -> None:
    lines = fenced(README)
    assert {line.split()[2] for line in lines if line.startswith("python flows/release.py")} == set(VERBS)
    assert any(line.startswith("python -m tasks.spintax ") for line in lines)


def test_the_benchmarks_readme_names_every_benchmark() -> None:
    runnable = [path.name for path in (ROOT / "benchmarks").glob("*.py") if "__main__" in path.read_text()]
    assert all(f"python benchmarks/{name}" in TEXTS["benchmarks/README.md"] for name in runnable)


def test_the_run_that_the_project_started_from_is_one_command_of_the_readme() -> None:
    line = next(line for line in fenced(README) if "gpt-neo-1.3B" in line)
    parameters = parse_parameters(load("flows/train.py"), shlex.split(line)[2:])
    training = parameters["training"]
    assert parameters["model"].name == "EleutherAI/gpt-neo-1.3B"
    assert (training.learning_rate, training.num_train_epochs, training.batch_size) == (8e-5, 2, 4)


def test_the_readmes_table_names_every_parameter() -> None:
    for group, values in groups(parse_parameters(load("flows/train.py"), [])):
        row = next(line for line in README.splitlines() if line.startswith(f"| `{group}` |"))
        assert re.findall(r"`(\w+)`", row)[1:] == list(type(values).model_fields)


def test_the_readme_has_at_most_250_lines() -> None:
    assert len(README.splitlines()) <= 250


@pytest.mark.parametrize("name", TEXTS)
def test_every_link_of_a_document_leads_to_a_file_and_a_heading_of_the_project(name: str) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"^```.*?^```", "", TEXTS[name], flags=re.MULTILINE | re.DOTALL)):
        if "://" in link:
            continue
        path, _, heading = link.partition("#")
        target = (ROOT / name).parent / path if path else ROOT / name
        assert target.exists(), link
        headings = re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), flags=re.MULTILINE) if heading else []
        assert not heading or heading in {re.sub(r"[^\w -]", "", one.lower()).replace(" ", "-") for one in headings}, (
            link
        )


PATHS = sorted(
    {(name, code) for name, code in CODE if re.fullmatch(r"(benchmarks|deployments|flows|tasks|tests)/[\w/.-]+", code)}
)


@pytest.mark.parametrize(("name", "path"), PATHS)
def test_every_path_of_a_document_exists(name: str, path: str) -> None:
    assert (ROOT / path).exists(), name


@pytest.mark.parametrize("name", TEXTS)
def test_a_document_is_valid_text_without_replacement_characters(name: str) -> None:
    assert "\N{REPLACEMENT CHARACTER}" not in TEXTS[name]
