"""Checkpoints on the disk: each is whole or absent, and the last whole one is found."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tasks.errors import InputError
from tasks.settings import settings
from tasks.stage.folders import MANIFEST, list_files
from tasks.training.checkpoints import Checkpoints
from tests.factories.checkpoints import KEY, fill, never, saved, step_of, steps
from tests.factories.folders import (
    altered,
    extra,
    first_line,
    longer,
    manifest_cut_off,
    missing,
    names,
    no_manifest,
    start,
)
from tests.factories.waiting import no_file_larger_than

SAVE = """
import sys, time
from pathlib import Path
from tasks.training.checkpoints import Checkpoints

def fill(folder):
    (folder / "a.txt").write_text("half")
    print("ready", flush=True)
    time.sleep(60)

Checkpoints(sys.argv[1], limit=2).save(2, fill)
"""


def test_the_last_saved_checkpoint_is_found_with_its_facts_and_files() -> None:
    checkpoints = Checkpoints(KEY, limit=9)
    assert checkpoints.newest() is None
    for step in (9, 120, 1000):
        checkpoints.save(step, fill)
    found = Checkpoints(KEY, limit=9).newest()
    assert found is not None
    assert found.step == 1000
    assert found.folder == settings().data / "checkpoints" / KEY / "step-0000001000"
    assert found.facts == {"loss": 1.5, "best": None}
    assert list(list_files(found.folder)) == ["a.txt", "below/b.bin"]


def test_a_step_with_more_than_ten_digits_is_still_the_newest() -> None:
    assert step_of(saved(9_999_999_999, 10_000_000_000)) == 10_000_000_000


def facts_of_another_kind(folder: Path) -> None:
    manifest = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps({**manifest, "facts": [1]}))


def a_file_instead(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.write_text("in the way")


@pytest.mark.parametrize(
    "damage",
    [altered, missing, extra, longer, manifest_cut_off, no_manifest, facts_of_another_kind, a_file_instead],
)
def test_a_damaged_checkpoint_is_removed_and_the_one_before_it_is_found(damage: Callable[[Path], None]) -> None:
    checkpoints = saved(1, 2, 3)
    for step in (2, 3):
        damage(checkpoints.folder / f"step-000000000{step}")
    assert step_of(checkpoints) == 1
    assert steps(checkpoints) == [1]
    checkpoints.save(3, fill)
    assert step_of(checkpoints) == 3


def test_after_kill_9_during_a_save_the_previous_checkpoint_is_the_newest() -> None:
    checkpoints = saved(1)
    process = start(SAVE, KEY)
    assert first_line(process) == "ready"
    assert len(names(checkpoints.folder)) == 2
    assert step_of(checkpoints) == 1
    assert len(names(checkpoints.folder)) == 2  # it is being filled: not a leftover
    process.kill()
    process.communicate()
    assert step_of(checkpoints) == 1
    assert steps(checkpoints) == [1]


def test_files_are_flushed_before_the_rename_and_old_checkpoints_removed_after_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    happened: list[str] = []
    checkpoints = saved(1, limit=1)

    def fsync(descriptor: int) -> None:
        happened.append(Path(f"/proc/self/fd/{descriptor}").readlink().name.partition("-")[0])

    really = Path.rename

    def rename(old: Path, new: Path) -> Path:
        happened.append(f"rename {old.name[:15]}")
        return really(old, new)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "rename", rename)
    checkpoints.save(2, fill)
    assert sorted(happened[:5]) == ["a.txt", "b.bin", "below", "manifest.json", "step"]
    assert happened[5:] == ["rename step-0000000002", KEY, "checkpoints", "rename step-0000000001"]


def test_old_checkpoints_are_removed_only_after_the_new_one_is_saved_and_those_to_keep_stay() -> None:
    checkpoints = saved(1, 2, 3)

    def look(folder: Path) -> dict[str, Any]:
        assert {"step-0000000001", "step-0000000002", "step-0000000003"} < set(names(folder.parent))
        return fill(folder)

    checkpoints = Checkpoints(KEY, limit=2)
    checkpoints.save(4, look, keep={1, 77})
    assert steps(checkpoints) == [1, 3, 4]
    checkpoints.save(5, fill)
    assert steps(checkpoints) == [4, 5]


def test_a_checkpoint_without_a_manifest_does_not_count_towards_the_limit() -> None:
    checkpoints = saved(1, 2, 3)
    no_manifest(checkpoints.folder / "step-0000000003")
    Checkpoints(KEY, limit=2).save(4, fill)
    assert steps(checkpoints) == [2, 4]


def test_a_failed_save_removes_nothing() -> None:
    checkpoints = saved(1, limit=1)
    with pytest.raises(AssertionError):
        checkpoints.save(2, never)
    assert steps(checkpoints) == [1]


def test_a_full_disk_is_an_input_error_and_the_previous_checkpoint_stays() -> None:
    checkpoints = saved(1, limit=1)
    with no_file_larger_than(5), pytest.raises(InputError, match=r"^The disk is full: .*step-0000000002"):
        checkpoints.save(2, fill)
    assert steps(checkpoints) == [1]
    assert step_of(checkpoints) == 1


def test_a_whole_checkpoint_is_not_written_again_but_a_damaged_one_is() -> None:
    checkpoints = saved(1)
    checkpoints.save(1, never)
    altered(checkpoints.folder / "step-0000000001")
    checkpoints.save(1, fill)
    assert step_of(checkpoints) == 1


def test_each_training_has_its_own_checkpoints() -> None:
    saved(1)
    other = Checkpoints("d00d" * 16, limit=1)
    assert other.newest() is None
    other.clear()
    assert step_of(saved()) == 1


def test_clear_leaves_nothing() -> None:
    checkpoints = saved(1, 2)
    (checkpoints.folder / "step-0000000003.partial-1").mkdir()
    checkpoints.clear()
    assert names(settings().data / "checkpoints") == []
    with checkpoints.exclusive():
        checkpoints.save(1, fill)
        checkpoints.clear()
        assert checkpoints.newest() is None
    assert names(settings().data / "checkpoints") == []


def test_clear_leaves_checkpoints_that_another_run_holds() -> None:
    checkpoints = saved(1)
    with Checkpoints(KEY, limit=1).exclusive():
        checkpoints.clear()
        assert step_of(checkpoints) == 1
    checkpoints.clear()
    assert checkpoints.newest() is None
