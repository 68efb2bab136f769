"""One tiny real run for all tests of this folder, and copies of it."""

import shutil
from pathlib import Path

import pytest

from tests.factories.train_runs import Run, at, run_train, tiny


@pytest.fixture(scope="session")
def first(prefect_server: str, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The first run; its data are only read."""
    folder = tmp_path_factory.mktemp("first")
    with at(folder):
        return run_train(folder, tiny(folder / "store"))


@pytest.fixture
def again(first: Run, tmp_path: Path, server: str) -> Run:
    """A copy of the first run that a test may continue and change."""
    for name in ("data", "results", "store"):
        shutil.copytree(first.folder / name, tmp_path / name)
    parameters = {**first.parameters, "release": tiny(tmp_path / "store")["release"]}
    return Run(tmp_path, parameters, first.result, first.id)
