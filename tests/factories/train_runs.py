"""Tiny real runs of `train`, as flows in this process and as commands."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from prefect.settings import PREFECT_RESULTS_LOCAL_STORAGE_PATH, temporary_settings

from flows.train import Trained, train
from tasks.parameters import CorpusParameters, ReleaseParameters, SamplingParameters, TrainingParameters
from tasks.settings import settings
from tests.factories.prefect_records import run_of

TEMPLATE = "{a|b|c} {d|e} {f|g|h} {x|y}"
"""Thirty-six sentences."""
TINY = [
    "--corpus.template", TEMPLATE, "--sampling.prompts", "a d", "--sampling.num-samples", "1",
    "--sampling.max-length", "8", "--release.name", "tiny",
]  # fmt: skip
"""The words of the smallest command."""


@dataclass(frozen=True)
class Run:
    """A finished run: its folder, parameters and result, and its id at the server."""

    folder: Path
    parameters: dict[str, Any]
    result: Trained
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
def at(folder: Path) -> Iterator[None]:
    """Data and results of what runs in the block are in `folder`."""
    with (
        pytest.MonkeyPatch.context() as patch,
        temporary_settings(updates={PREFECT_RESULTS_LOCAL_STORAGE_PATH: folder / "results"}),
    ):
        patch.setenv("SPINNERET_DATA", str(folder / "data"))
        settings.cache_clear()
        yield
    settings.cache_clear()


def run_train(folder: Path, parameters: dict[str, Any]) -> Run:
    """Run `train`; AssertionError where it does not complete."""
    state = train(**parameters, return_state=True)
    assert state.is_completed(), state.message
    result = state.result()
    assert isinstance(result, Trained)
    return Run(folder, parameters, result, run_of(state))


def stamps(folder: Path) -> dict[str, tuple[int, int]]:
    """When each file was made: a file that was made again has another inode or time."""
    return {str(path): (path.stat().st_ino, path.stat().st_mtime_ns) for path in sorted(folder.rglob("*"))}
