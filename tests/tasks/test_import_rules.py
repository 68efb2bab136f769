"""Imports run one way: flows, then tasks/*.py, then the plain packages."""

import ast
import sys
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from tasks.settings import ROOT

ROOMS = ("spintax", "dataset", "modeling", "evaluation", "storage")
COAT_ROOMS = ("stage", "observability", "training", "registry", "packaging", "plan")
FILES = [path for room in ROOMS for path in sorted((ROOT / "tasks" / room).rglob("*.py"))]
COATS = [path for room in ("", *COAT_ROOMS) for path in sorted((ROOT / "tasks" / room).glob("*.py"))]
FLOWS = sorted((ROOT / "flows").rglob("*.py"))
OPEN_TO_ALL = {
    "tasks.disk", "tasks.errors", "tasks.guarded_process", "tasks.parameters", "tasks.stage.folders", "tasks.units",
}  # fmt: skip
OWNERS = {
    "torch": "modeling",
    "transformers": "modeling",
    "happytransformer": "modeling",
    "accelerate": "modeling",
    "tokenizers": "modeling",
    "boto3": "storage",
    "botocore": "storage",
}


def imported(path: Path) -> Iterator[str]:
    """Every module that a file imports, at whatever level; `from a import b` gives both a and a.b."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: a relative import hides where it goes"
            assert node.module is not None
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def room_of(path: Path) -> str:
    return path.relative_to(ROOT / "tasks").parts[0]


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_a_plain_package_knows_neither_prefect_nor_the_coats_nor_the_other_rooms(path: Path) -> None:
    own = room_of(path)
    allowed = {own, "spintax"} if own == "evaluation" else {own}
    for module in imported(path):
        top, _, rest = module.partition(".")
        assert top not in {"prefect", "flows", "tests"}, module
        if top == "tasks" and rest:
            room = rest.partition(".")[0]
            known = room in allowed or any(module == one or module.startswith(f"{one}.") for one in OPEN_TO_ALL)
            assert known, module


@pytest.mark.parametrize("path", [*FILES, *COATS, *FLOWS], ids=name_of)
def test_a_heavy_library_is_imported_by_the_room_that_owns_it_only(path: Path) -> None:
    for module in imported(path):
        owner = OWNERS.get(module.partition(".")[0])
        assert owner is None or name_of(path).startswith(f"tasks/{owner}/"), module


@pytest.mark.parametrize("path", COATS, ids=name_of)
def test_the_coats_do_not_know_the_flows(path: Path) -> None:
    assert not [module for module in imported(path) if module.partition(".")[0] in {"flows", "tests"}]


@pytest.mark.parametrize("folder", ["flows", "tasks"])
def test_no_module_hides_a_library_or_has_a_name_that_says_nothing(folder: str) -> None:
    taken = set(sys.stdlib_module_names) | set(packages_distributions()) - {"flows", "tasks", "tests"}
    named = {path.stem for path in (ROOT / folder).rglob("*.py")} - {"__init__", "__main__"}
    assert not named & {"utils", "common", "core", "helpers", "manager", "misc"}
    if folder == "flows":  # the folder of a script is the first place where Python looks
        assert not named & taken


def test_the_rooms_are_those_that_exist() -> None:
    found = {path.parent.name for path in (ROOT / "tasks").glob("*/__init__.py")}
    assert found == {*ROOMS, *COAT_ROOMS}
