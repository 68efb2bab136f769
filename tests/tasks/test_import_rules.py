"""Imports run one way: flows, then tasks/*.py, then the stages' packages, then the plain packages, then the ground."""

import ast
import sys
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from tasks.settings import ROOT

PLAIN = ("spintax", "dataset", "modeling", "evaluation", "storage")
"""Plain packages: they know nothing of Prefect and of each other, but evaluation may import spintax."""
STAGES_PACKAGES: dict[str, set[str]] = {
    "observability": set(),
    "registry": {"observability"},
    "stage": {"observability"},
    "training": {"observability", "registry", "stage"},
    "packaging": {"stage"},
    "plan": {"stage", "training"},
}
"""Packages that the stages are built on → those of them that they import."""
WITH_PREFECT = {"observability", "stage"}
GROUND = {
    "tasks.disk", "tasks.errors", "tasks.guarded_process", "tasks.parameters", "tasks.stage.folders", "tasks.units",
}  # fmt: skip
"""Modules that any other may import."""
PLAIN_FILES = [path for package in PLAIN for path in sorted((ROOT / "tasks" / package).rglob("*.py"))]
PACKAGE_FILES = [path for package in STAGES_PACKAGES for path in sorted((ROOT / "tasks" / package).rglob("*.py"))]
STAGE_FILES = sorted((ROOT / "tasks").glob("*.py"))
FLOWS = sorted((ROOT / "flows").rglob("*.py"))
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


def package_of(path: Path) -> str:
    return path.relative_to(ROOT / "tasks").parts[0]


def is_ground(module: str) -> bool:
    return any(module == one or module.startswith(f"{one}.") for one in GROUND)


def imported_tasks(path: Path) -> Iterator[tuple[str, str]]:
    """The part of `tasks` that each import names, and the whole name; without the ground."""
    for module in imported(path):
        top, _, rest = module.partition(".")
        if top == "tasks" and rest and not is_ground(module):
            yield rest.partition(".")[0], module


@pytest.mark.parametrize("path", PLAIN_FILES, ids=name_of)
def test_a_plain_package_imports_neither_prefect_nor_another_package(path: Path) -> None:
    own = package_of(path)
    allowed = {own, "spintax"} if own == "evaluation" else {own}
    assert not {module.partition(".")[0] for module in imported(path)} & {"prefect", "flows", "tests"}
    assert [module for part, module in imported_tasks(path) if part not in allowed] == []


@pytest.mark.parametrize("path", PACKAGE_FILES, ids=name_of)
def test_a_package_of_the_stages_imports_no_stage_and_only_the_packages_below_it(path: Path) -> None:
    own = package_of(path)
    allowed = {own, "settings", *STAGES_PACKAGES[own], *PLAIN}
    assert [module for part, module in imported_tasks(path) if part not in allowed] == []
    if own not in WITH_PREFECT:
        assert "prefect" not in {module.partition(".")[0] for module in imported(path)}


@pytest.mark.parametrize("path", [*PLAIN_FILES, *PACKAGE_FILES, *STAGE_FILES, *FLOWS], ids=name_of)
def test_a_heavy_library_is_imported_only_by_the_package_that_owns_it(path: Path) -> None:
    for module in imported(path):
        owner = OWNERS.get(module.partition(".")[0])
        assert owner is None or name_of(path).startswith(f"tasks/{owner}/"), module


@pytest.mark.parametrize("path", [*PACKAGE_FILES, *STAGE_FILES], ids=name_of)
def test_tasks_do_not_import_flows(path: Path) -> None:
    assert not [module for module in imported(path) if module.partition(".")[0] in {"flows", "tests"}]


@pytest.mark.parametrize("folder", ["flows", "tasks"])
def test_no_module_shadows_a_library_or_has_a_name_that_says_nothing(folder: str) -> None:
    taken = set(sys.stdlib_module_names) | set(packages_distributions()) - {"flows", "tasks", "tests"}
    named = {path.stem for path in (ROOT / folder).rglob("*.py")} - {"__init__", "__main__"}
    assert not named & {"utils", "common", "core", "helpers", "manager", "misc"}
    if folder == "flows":  # Python looks for modules in the folder of a script first
        assert not named & taken


def test_these_rules_name_every_package() -> None:
    found = {path.parent.name for path in (ROOT / "tasks").glob("*/__init__.py")}
    assert found == {*PLAIN, *STAGES_PACKAGES}
