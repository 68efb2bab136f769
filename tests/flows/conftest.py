"""One tiny real run for all tests of this room, and its copies to go on from."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from prefect import State

from flows.train import Trained, train
from tasks.parameters import (
    CorpusParameters,
    ReleaseParameters,
    SamplingParameters,
    TrainingParameters,
)
from tasks.settings import settings

TEMPLATE = "{a|b|c} {d|e} {f|g|h} {x|y}"
"""Thirty-six sentences."""


@dataclass(frozen=True)
class Run:
    """A run that ended: what it was told, what it left, and its id at the server."""

    place: Path
    told: dict[str, Any]
    left: Trained
    id: UUID


def tiny(store: Path) -> dict[str, Any]:
    """The parameters of the smallest real run."""
    return {
        "corpus": CorpusParameters(template=TEMPLATE),
        "training": TrainingParameters(max_steps=3),
        "sampling": SamplingParameters(prompts=("a d", "b"), held_out_prompts=1, num_samples=1, max_length=8),
        "release": ReleaseParameters(destination=str(store), name="tiny"),
    }


@contextmanager
def at(place: Path) -> Iterator[None]:
    """Data and results of what runs in the block lie in `place`."""
    from prefect.settings import PREFECT_RESULTS_LOCAL_STORAGE_PATH, temporary_settings

    with (
        pytest.MonkeyPatch.context() as patch,
        temporary_settings(updates={PREFECT_RESULTS_LOCAL_STORAGE_PATH: place / "results"}),
    ):
        patch.setenv("SPINNERET_DATA", str(place / "data"))
        settings.cache_clear()
        yield
    settings.cache_clear()


def run_of(state: State[Any]) -> UUID:
    """The flow run that ended in this state."""
    run = state.state_details.flow_run_id
    assert run is not None
    return run


def run_train(place: Path, told: dict[str, Any]) -> Run:
    """Run `train`; AssertionError where it does not end well."""
    state = train(**told, return_state=True)
    assert state.is_completed(), state.message
    left = state.result()
    assert isinstance(left, Trained)
    return Run(place, told, left, run_of(state))


@pytest.fixture(scope="session")
def first(prefect_server: str, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The first run; its data are only read."""
    place = tmp_path_factory.mktemp("first")
    with at(place):
        return run_train(place, tiny(place / "store"))


@pytest.fixture
def again(first: Run, tmp_path: Path, server: str) -> Run:
    """A copy of the first run that a test may go on from and may change."""
    for name in ("data", "results", "store"):
        shutil.copytree(first.place / name, tmp_path / name)
    told = {**first.told, "release": tiny(tmp_path / "store")["release"]}
    return Run(tmp_path, told, first.left, first.id)
