import contextlib
import errno
import hashlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tasks.errors import InputError
from tasks.stage import folders
from tasks.stage.folders import (
    digest,
    file_digest,
    list_files,
    make_folder,
    open_whole,
    read_manifest,
    write_whole,
)
from tests.factories.folders import (
    altered,
    extra,
    fill,
    first_line,
    longer,
    manifest_cut_off,
    manifest_of_another_kind,
    missing,
    names,
    no_manifest,
    start,
)

FILL = """
import sys, time
from pathlib import Path
from tasks.stage.folders import make_folder

folder, go, text = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]

def fill(partial):
    (partial / "text").write_text(text)
    print("ready", flush=True)
    while not go.exists():
        time.sleep(0.005)
    return {"text": text}

print(make_folder(folder, fill)["facts"]["text"])
"""
FULL = """
import resource, sys
from pathlib import Path
from tasks.errors import InputError
from tasks.stage.folders import make_folder

resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    make_folder(Path(sys.argv[1]), lambda folder: (folder / "big").write_bytes(bytes(5000)) and {})
except InputError as error:
    print(error)
"""


def test_a_folder_has_its_files_and_a_manifest_that_lists_them(tmp_path: Path) -> None:
    made = make_folder(tmp_path / "stage" / "key", fill)
    assert names(tmp_path / "stage") == ["key"]
    assert (tmp_path / "stage" / "key" / "below" / "b.bin").read_bytes() == bytes(range(9))
    assert made["facts"] == {"count": 2}
    assert list(made["files"]) == ["a.txt", "below/b.bin"]
    assert read_manifest(tmp_path / "stage" / "key") == made


@pytest.mark.parametrize("error", [RuntimeError("no"), KeyboardInterrupt(), OSError(errno.EACCES, "no")])
def test_nothing_is_left_when_filling_fails(tmp_path: Path, error: BaseException) -> None:
    def fail(folder: Path) -> dict[str, Any]:
        fill(folder)
        raise error

    with pytest.raises(type(error)):
        make_folder(tmp_path / "stage" / "key", fail)
    assert names(tmp_path / "stage") == []


def test_facts_that_are_not_json_leave_nothing(tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        make_folder(tmp_path / "stage" / "key", lambda folder: {"count": {1, 2}})
    assert names(tmp_path / "stage") == []


def test_after_kill_9_only_a_partial_folder_is_left_and_the_next_make_removes_it(tmp_path: Path) -> None:
    folder = tmp_path / "stage" / "key"
    process = start(FILL, folder, tmp_path / "never", "x")
    assert first_line(process) == "ready"
    process.kill()
    process.communicate()
    assert [name.startswith("key.partial-") for name in names(folder.parent)] == [True]
    assert read_manifest(folder) is None
    make_folder(folder, fill)
    assert names(folder.parent) == ["key"]


def test_a_partial_folder_that_another_process_is_filling_is_left_alone(tmp_path: Path) -> None:
    folder, go = tmp_path / "stage" / "key", tmp_path / "go"
    other = start(FILL, folder, go, "theirs")
    assert first_line(other) == "ready"
    make_folder(folder, fill)
    assert len(names(folder.parent)) == 2
    go.touch()
    other.communicate()
    assert names(folder.parent) == ["key"]


def test_two_processes_that_make_the_same_folder_at_once_both_get_the_same_whole_folder(tmp_path: Path) -> None:
    folder, go = tmp_path / "stage" / "key", tmp_path / "go"
    processes = [start(FILL, folder, go, text) for text in ("one", "two")]
    assert [first_line(process) for process in processes] == ["ready", "ready"]
    go.touch()
    said = {process.communicate()[0].strip() for process in processes}
    assert said == {(folder / "text").read_text()}
    assert [process.returncode for process in processes] == [0, 0]
    assert names(folder.parent) == ["key"]
    assert read_manifest(folder) is not None


def test_a_folder_that_is_taken_for_a_leftover_before_it_is_locked_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Path] = []

    def ensure_folder(folder: Path) -> None:
        folder.mkdir(parents=True)
        made.append(folder)
        if len(made) < 3:
            folders.remove_leftovers(folder.parent, "key")

    monkeypatch.setattr(folders, "ensure_folder", ensure_folder)
    manifest = make_folder(tmp_path / "stage" / "key", fill)
    assert len(made) == 3
    assert read_manifest(tmp_path / "stage" / "key") == manifest
    assert names(tmp_path / "stage") == ["key"]


def test_two_threads_that_make_the_same_folder_at_once_both_succeed(tmp_path: Path) -> None:
    folder = tmp_path / "stage" / "key"
    both = threading.Barrier(2, timeout=20)
    made: list[dict[str, Any]] = []

    def slow(partial: Path) -> dict[str, Any]:
        both.wait()
        return fill(partial)

    threads = [threading.Thread(target=lambda: made.append(make_folder(folder, slow))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 2
    assert made[0] == made[1] == read_manifest(folder)
    assert names(folder.parent) == ["key"]


@pytest.mark.parametrize(
    "damage", [altered, missing, extra, longer, manifest_cut_off, manifest_of_another_kind, no_manifest]
)
def test_a_damaged_folder_counts_as_absent_and_is_made_again(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    folder = tmp_path / "stage" / "key"
    made = make_folder(folder, fill)
    damage(folder)
    assert read_manifest(folder) is None
    assert make_folder(folder, fill) == made == read_manifest(folder)
    assert names(folder.parent) == ["key"]


def test_two_processes_that_replace_a_damaged_folder_at_once_both_succeed(tmp_path: Path) -> None:
    folder, go = tmp_path / "stage" / "key", tmp_path / "go"
    make_folder(folder, fill)
    for number in range(300):
        (folder / f"extra-{number}").touch()
    processes = [start(FILL, folder, go, text) for text in ("one", "two", "three")]
    assert [first_line(process) for process in processes] == ["ready"] * 3
    go.touch()
    said = [process.communicate()[0].strip() for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], said
    assert read_manifest(folder) is not None
    assert names(folder.parent) == ["key"]


def test_a_file_where_the_folder_should_be_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("in the way")
    make_folder(tmp_path / "key", fill)
    assert read_manifest(tmp_path / "key") is not None


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the device is Linux's")
def test_a_full_disk_is_reported_in_one_sentence_and_leaves_nothing(tmp_path: Path) -> None:
    def to_full_device(folder: Path) -> dict[str, Any]:
        fill(folder)
        Path("/dev/full").write_text("x")
        return {}

    with pytest.raises(InputError, match=r"^The disk is full: .*SPINNERET_DATA") as caught:
        make_folder(tmp_path / "stage" / "key", to_full_device)
    assert isinstance(caught.value.__cause__, OSError)
    assert names(tmp_path / "stage") == []


def test_a_data_folder_that_cannot_be_made_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match=r"cannot be written to \(Not a directory\); set SPINNERET_DATA"):
        make_folder(tmp_path / "file" / "stage" / "key", fill)


def test_a_file_larger_than_allowed_leaves_nothing(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FULL, tmp_path / "stage" / "key"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("The disk is full: ")
    assert names(tmp_path / "stage") == []


def test_equal_values_have_equal_digests_whatever_their_order() -> None:
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    assert len({digest(1, 2), digest(2, 1), digest([1, 2]), digest("1", 2), digest(12)}) == 5
    assert digest("é", None, 0.1) == "771ee439e7440559ad2eacb3347fb548d0494fac54aa3b21e5035de61f3608bf"


def test_the_list_of_files_depends_on_names_and_contents_only(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        fill(tmp_path / name)
    os.utime(tmp_path / "two" / "a.txt", (0, 0))
    assert list_files(tmp_path / "one") == list_files(tmp_path / "two")


def test_checking_a_small_folder_takes_less_than_a_second(tmp_path: Path) -> None:
    make_folder(tmp_path / "key", fill)
    began = time.monotonic()
    assert read_manifest(tmp_path / "key")
    assert time.monotonic() - began < 1


def test_a_file_has_its_name_only_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    with open_whole(path) as file:
        file.write(b"half")
        file.flush()
        assert not path.exists()
    assert path.read_text() == "half"
    assert names(tmp_path) == ["file.json"]


@pytest.mark.parametrize("content", ["é\n", "é\n".encode()])
def test_a_file_that_is_written_whole_replaces_the_old_one(tmp_path: Path, content: str | bytes) -> None:
    path = tmp_path / "file.json"
    path.write_text("old")
    write_whole(path, content)
    assert path.read_bytes() == "é\n".encode()


@pytest.mark.parametrize("error", [RuntimeError("no"), KeyboardInterrupt()])
def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "file.json"
    path.write_text("old")

    def write() -> None:
        with open_whole(path) as file:
            file.write(b"half")
            raise error

    with pytest.raises(type(error)):
        write()
    assert path.read_text() == "old"
    assert names(tmp_path) == ["file.json"]


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("gone/file", "gone/file: the folder .*gone does not exist; make it first"),
        ("text/file", r"the folder .*text cannot be written to \(Not a directory\)"),
        ("below", r"below: cannot be replaced \(Is a directory\)"),
    ],
)
def test_a_path_that_cannot_be_written_is_named_and_nothing_is_left(tmp_path: Path, path: str, sentence: str) -> None:
    (tmp_path / "text").write_text("not a folder")
    (tmp_path / "below").mkdir()
    with pytest.raises(InputError, match=sentence):
        write_whole(tmp_path / path, "x")
    assert names(tmp_path) == ["below", "text"]


@pytest.mark.parametrize("path", [Path(), Path("/")])
def test_a_path_without_a_file_name_is_named(path: Path) -> None:
    with pytest.raises(InputError, match="does not end in the name of a file"):
        write_whole(path, "x")


def test_a_file_digest_is_the_sha256_of_its_bytes(tmp_path: Path) -> None:
    content = b"\xff\x00text\r\n" * 50_000
    (tmp_path / "any.bin").write_bytes(content)
    assert file_digest(tmp_path / "any.bin") == hashlib.sha256(content).hexdigest()
    with pytest.raises(InputError, match="there is no such file"):
        file_digest(tmp_path / "gone")


def test_a_folder_that_another_run_creates_and_removes_meanwhile_can_be_created(tmp_path: Path) -> None:
    folder, ended = tmp_path / "checkpoints" / "key", threading.Event()

    def create_and_remove() -> None:
        while not ended.is_set():
            with contextlib.suppress(OSError):
                folder.mkdir()
            with contextlib.suppress(OSError):
                folder.rmdir()

    folder.parent.mkdir()
    with ThreadPoolExecutor(1) as pool:
        pool.submit(create_and_remove)
        try:
            for _ in range(3000):
                folders.ensure_folder(folder)
        finally:
            ended.set()
