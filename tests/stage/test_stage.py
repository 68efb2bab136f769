"""The `@stage` decorator without a server: the task as a plain function (`.fn`)."""

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tasks.observability import logs
from tasks.stage.folders import Facts, digest
from tasks.stage.references import Samples
from tasks.stage.stage import stage


@pytest.fixture(autouse=True)
def _new_run() -> None:
    logs.start_run()


def seed_key(seed: int) -> str:
    return digest("test", seed)


def write(folder: Path, count: int) -> Facts:
    (folder / "samples.json").write_text("[]")
    return {"count": count, "valid": None}


def test_a_stage_is_a_task_with_the_arguments_of_its_function_without_the_folder() -> None:
    @stage(Samples, "make things", seed_key, retries=2)
    def make(folder: Path, seed: int, count: int = 1) -> Facts:
        """What it does."""
        return write(folder, count)

    assert (make.name, make.retries, make.fn.__name__, make.description) == ("make things", 2, "make", "What it does.")
    assert str(inspect.signature(make.fn)).startswith("(seed: int, count: int = 1) -> ")
    assert make.fn(1) == Samples.find(seed_key(1))
    with pytest.raises(TypeError, match="missing a required argument"):
        make.fn()  # type: ignore[call-arg]


def test_a_stage_is_logged_once_in_a_run_as_made_or_as_cached(
    capsys: pytest.CaptureFixture[str],
) -> None:
    @stage(Samples, "make things", seed_key, log_more=lambda made: print("more of", made.count))
    def make(folder: Path, seed: int) -> Facts:
        return write(folder, 5)

    make.fn(1)
    make.fn(1)
    logs.start_run()
    make.fn(1)
    first, *others = capsys.readouterr().out.splitlines()
    assert first.startswith("samples: 5 samples [")
    assert others == ["more of 5", "more of 5", "samples: cached, 5 samples", "more of 5"]


def test_around_is_entered_before_the_folder_is_looked_for_and_left_when_it_is_whole() -> None:
    events: list[str] = []

    @contextmanager
    def around(seed: int) -> Iterator[None]:
        events.append(f"before, found: {Samples.find(seed_key(seed)) is not None}")
        yield
        events.append(f"after, found: {Samples.find(seed_key(seed)) is not None}")

    @stage(Samples, "make things", seed_key, around=around)
    def make(folder: Path, seed: int, fails: bool) -> Facts:
        if fails:
            raise ValueError("defect")
        return write(folder, 1)

    make.fn(1, fails=False)
    with pytest.raises(ValueError, match="defect"):
        make.fn(2, fails=True)
    assert events == ["before, found: False", "after, found: True", "before, found: False"]
