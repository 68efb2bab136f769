import hashlib
import json
import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tasks.errors import InputError
from tasks.stage.folders import make_folder, read_manifest
from tasks.storage.embedded_server import LOCAL_BUCKET, Endpoint
from tasks.storage.listing import version_folders
from tasks.storage.manifest import MIN_PART
from tasks.storage.mirror import DamagedError, Mirror, MirrorError
from tasks.storage.publish import publish
from tasks.storage.store import Store
from tests.storage.gate import Gate, gate_before
from tests.storage.hostile import UNSAFE_PATHS
from tests.storage.invariant import contents

KEY = "a1" * 32
AS_CODE = {".bin", ".pt", ".pkl", ".ckpt", ".npy", ".py", ".so"}
"""Files that a release refuses and a checkpoint may have."""


@pytest.fixture
def gate(as_remote: Endpoint, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    with gate_before(as_remote.url) as gate:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", gate.url)
        yield gate


@pytest.fixture
def mirror(as_remote: Endpoint, store: Store) -> Mirror:
    return Mirror(f"s3://{LOCAL_BUCKET}/{store.prefix}", KEY)


@pytest.fixture
def stored(on_disk: Path) -> Path:
    """The folder in which the server keeps the checkpoints of the training."""
    return on_disk / "checkpoints" / KEY


def make(folder: Path, text: str = "state") -> Path:
    """A checkpoint on disk, with a file that a release must not have."""

    def fill(partial: Path) -> dict[str, Any]:
        (partial / "below").mkdir()
        (partial / "below" / "optimizer.pt").write_bytes(os.urandom(100))
        (partial / "a.txt").write_text(text)
        return {"text": text}

    make_folder(folder, fill)
    return folder


def copy(mirror: Mirror, *folders: Path, limit: int = 9) -> None:
    """Copy folders whose names are their steps, `1`, `2`."""
    mirror.copy({int(folder.name): folder for folder in folders}, limit=limit, stop=threading.Event())


def delete(store: Store, path: str) -> None:
    store.client.delete_object(Bucket=store.bucket, Key=store.key("checkpoints", KEY, path))


def test_what_is_fetched_is_what_was_copied(mirror: Mirror, stored: Path, tmp_path: Path) -> None:
    first = make(tmp_path / "1")
    copy(mirror, first)
    assert contents(stored) == {f"step-0000000001/{name}": data for name, data in contents(first).items()}
    assert mirror.steps() == [1]
    made = make_folder(tmp_path / "fetched", lambda folder: mirror.fetch(1, folder))
    assert made == read_manifest(first)
    assert contents(tmp_path / "fetched") == contents(first)


def test_files_go_first_and_the_manifest_last(mirror: Mirror, gate: Gate, tmp_path: Path) -> None:
    copy(mirror, make(tmp_path / "1"))
    assert gate.sent("PUT") == ["step-0000000001/a.txt", "below/optimizer.pt", "step-0000000001/manifest.json"]


def test_files_in_the_store_are_not_sent_again(mirror: Mirror, gate: Gate, tmp_path: Path) -> None:
    first, second = make(tmp_path / "1"), make(tmp_path / "2")
    copy(mirror, first, second)
    gate.requests.clear()
    copy(mirror, second, first)
    assert gate.sent("PUT") == []
    assert gate.sent("HEAD") == ["step-0000000002/a.txt", "below/optimizer.pt"]


def test_an_interrupted_copy_is_absent_and_the_next_sends_only_the_rest(
    mirror: Mirror, gate: Gate, tmp_path: Path
) -> None:
    first = make(tmp_path / "1")
    gate.check = lambda method, path: not (method == "PUT" and path.endswith(".pt"))
    with pytest.raises(MirrorError, match="refused PutObject"):
        copy(mirror, first)
    assert mirror.steps() == []
    gate.check = lambda method, path: True
    gate.requests.clear()
    copy(mirror, first)
    assert gate.sent("PUT") == ["below/optimizer.pt", "step-0000000001/manifest.json"]
    assert mirror.steps() == [1]


def test_files_without_a_manifest_are_not_a_step(mirror: Mirror, store: Store, tmp_path: Path) -> None:
    copy(mirror, make(tmp_path / "1"), make(tmp_path / "2"))
    delete(store, "step-0000000002/manifest.json")
    assert mirror.steps() == [1]


def test_a_half_deleted_copy_is_absent(mirror: Mirror, gate: Gate, stored: Path, tmp_path: Path) -> None:
    copy(mirror, make(tmp_path / "1"))
    deleted: list[str] = []

    def only_one(method: str, path: str) -> bool:
        if method == "DELETE":
            deleted.append(path)
        return len(deleted) < 2

    gate.check = only_one
    with pytest.raises(MirrorError, match="refused"):
        mirror.clear()
    gate.check = lambda method, path: True
    assert sorted(contents(stored)) == ["step-0000000001/a.txt", "step-0000000001/below/optimizer.pt"]
    assert mirror.steps() == []
    mirror.clear()
    assert not stored.exists()


def test_a_step_is_absent_while_its_bytes_are_replaced(mirror: Mirror, gate: Gate, tmp_path: Path) -> None:
    copy(mirror, make(tmp_path / "1"))
    other = make(tmp_path / "other" / "1", "other")
    gate.check = lambda method, path: method != "PUT"
    with pytest.raises(MirrorError):
        copy(mirror, other)
    assert mirror.steps() == []
    gate.check = lambda method, path: True
    copy(mirror, other)
    (tmp_path / "fetched").mkdir()
    assert mirror.fetch(1, tmp_path / "fetched") == {"text": "other"}


def test_a_file_damaged_in_the_store_is_detected_and_sent_again(mirror: Mirror, stored: Path, tmp_path: Path) -> None:
    first = make(tmp_path / "1")
    copy(mirror, first)
    (stored / "step-0000000001" / "a.txt").write_text("rotten")
    (tmp_path / "fetched").mkdir()
    with pytest.raises(DamagedError, match=r"step 1 in .* is damaged: .*a.txt"):
        mirror.fetch(1, tmp_path / "fetched")
    copy(mirror, first)
    assert (stored / "step-0000000001" / "a.txt").read_text() == "state"


def test_a_file_missing_in_the_store_counts_as_damage(mirror: Mirror, store: Store, tmp_path: Path) -> None:
    copy(mirror, make(tmp_path / "1"))
    delete(store, "step-0000000001/below/optimizer.pt")
    (tmp_path / "fetched").mkdir()
    with pytest.raises(DamagedError, match=r"optimizer.pt is missing"):
        mirror.fetch(1, tmp_path / "fetched")


def test_a_folder_damaged_on_disk_is_not_copied(mirror: Mirror, stored: Path, tmp_path: Path) -> None:
    first = make(tmp_path / "1")
    (first / "a.txt").write_text("stale")
    with pytest.raises(MirrorError, match=r"a.txt differs from its manifest"):
        copy(mirror, first)
    assert not stored.exists()


@pytest.mark.parametrize("path", [path for path in UNSAFE_PATHS if Path(path).suffix.casefold() not in AS_CODE])
def test_a_hostile_name_writes_nothing(mirror: Mirror, store: Store, tmp_path: Path, path: str) -> None:
    write_manifest(store, {path: {"size": 1, "sha256": hashlib.sha256(b"x").hexdigest()}})
    target = tmp_path / "deep" / "target"
    target.mkdir(parents=True)
    with pytest.raises(DamagedError):
        mirror.fetch(1, target)
    assert [place for place in tmp_path.rglob("*") if place.is_file()] == []


@pytest.mark.parametrize(
    "files",
    [
        {"manifest.json": {"size": 1, "sha256": "a" * 64}},
        {"Manifest.json/x": {"size": 1, "sha256": "a" * 64}},
        {"a": {"size": 1, "sha256": "a" * 64}, "A": {"size": 1, "sha256": "a" * 64}},
        {"a": {"size": 1, "sha256": "a" * 64}, "a/b": {"size": 1, "sha256": "a" * 64}},
        {"a": {"size": -1, "sha256": "a" * 64}},
        {"a": {"size": 1, "sha256": "a"}},
        {"a": 1},
        ["a"],
    ],
)
def test_an_invalid_manifest_counts_as_damage(mirror: Mirror, store: Store, tmp_path: Path, files: object) -> None:
    write_manifest(store, files)
    with pytest.raises(
        DamagedError, match=r"is damaged: (its manifest|the file|.* differ only in case|.* is both a file and a folder)"
    ):
        mirror.fetch(1, tmp_path)
    assert list(tmp_path.iterdir()) == []


def write_manifest(store: Store, files: object) -> None:
    data = json.dumps({"facts": {}, "files": files}).encode()
    store.write(store.key("checkpoints", KEY, "step-0000000001", "manifest.json"), data)


def test_the_newest_and_those_just_copied_are_kept(mirror: Mirror, store: Store, stored: Path, tmp_path: Path) -> None:
    folders = [make(tmp_path / str(step)) for step in range(1, 6)]
    copy(mirror, *folders)
    delete(store, "step-0000000003/manifest.json")
    store.write(store.key("checkpoints", KEY, "step-0000000009", "on its way"), b"{}")
    copy(mirror, folders[4], folders[0], limit=2)
    assert mirror.steps() == [5, 4, 1]
    names = sorted(path.name for path in stored.iterdir())
    assert names == ["step-0000000001", "step-0000000004", "step-0000000005", "step-0000000009"]


def test_another_training_and_the_releases_are_left_alone(
    mirror: Mirror, store: Store, release: Path, tmp_path: Path
) -> None:
    other = Mirror(mirror.destination, f"{KEY}b")
    for name in ("jokes", "checkpoints"):
        publish(store, release, name)
    for one in (mirror, other):
        copy(one, make(tmp_path / one.key / "1"), limit=1)
    mirror.clear()
    assert mirror.steps() == []
    assert other.steps() == [1]
    assert [len(version_folders(store, name)) for name in ("jokes", "checkpoints")] == [1, 1]


@pytest.mark.parametrize("parts", [1, 6])
def test_a_stop_ends_a_running_copy_within_seconds(mirror: Mirror, gate: Gate, tmp_path: Path, parts: int) -> None:
    def fill(folder: Path) -> dict[str, Any]:
        (folder / "big").write_bytes(bytes(parts * MIN_PART - 1))
        return {}

    def a_slow_line(size: int) -> None:
        if size == 2**16:
            stop.set()
            time.sleep(0.1)

    make_folder(tmp_path / "1", fill)
    stop, gate.slow = threading.Event(), a_slow_line
    with ThreadPoolExecutor(1) as pool:
        copied = pool.submit(mirror.copy, {1: tmp_path / "1"}, limit=1, stop=stop)
        assert stop.wait(20)
        with pytest.raises(MirrorError):
            copied.result(15)  # all of it would take half a minute and more
    gate.slow = lambda size: None
    assert mirror.steps() == []


def test_after_a_stop_nothing_is_retried(mirror: Mirror, gate: Gate, tmp_path: Path) -> None:
    stop, gate.refusal = threading.Event(), 503

    def refuse(method: str, path: str) -> bool:
        if method == "PUT":
            stop.set()
        return method != "PUT"

    gate.check = refuse
    with pytest.raises(MirrorError):
        mirror.copy({1: make(tmp_path / "1")}, limit=1, stop=stop)
    assert gate.sent("PUT") == ["step-0000000001/a.txt"]


def test_a_key_outside_its_folder_is_refused(as_remote: Endpoint, store: Store) -> None:
    for key in ("", "..", "a/b"):
        with pytest.raises(MirrorError):
            Mirror(f"s3://{LOCAL_BUCKET}/{store.prefix}", key).clear()


def test_a_store_that_cannot_be_used_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(MirrorError, match="no credentials"):
        Mirror("s3://bucket/prefix", KEY).steps()
    (tmp_path / "file").write_text("")
    with pytest.raises(MirrorError) as caught:
        Mirror(str(tmp_path / "file"), KEY).steps()
    assert isinstance(caught.value.__cause__, InputError)
