"""Small checkpoints, and the steps that are on the disk."""

from pathlib import Path
from typing import Any

from tasks.storage.mirror import Mirror
from tasks.training.checkpoints import Checkpoints
from tests.factories.folders import names

KEY = "c0ffee" * 10


def fill(folder: Path) -> dict[str, Any]:
    (folder / "below").mkdir()
    (folder / "a.txt").write_text("alpha")
    (folder / "below" / "b.bin").write_bytes(bytes(range(9)))
    return {"loss": 1.5, "best": None}


def never(folder: Path) -> dict[str, Any]:
    raise AssertionError(f"{folder} was filled")


def saved(*steps: int, limit: int = 9, mirror: Mirror | None = None) -> Checkpoints:
    checkpoints = Checkpoints(KEY, limit=limit, mirror=mirror)
    for step in steps:
        checkpoints.save(step, fill)
    checkpoints.close()
    return checkpoints


def steps(checkpoints: Checkpoints) -> list[int]:
    """The steps on the disk, and nothing else is there."""
    return [int(name.removeprefix("step-")) for name in names(checkpoints.folder)]


def step_of(checkpoints: Checkpoints) -> int | None:
    found = checkpoints.newest()
    return None if found is None else found.step
