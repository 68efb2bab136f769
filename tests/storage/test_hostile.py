"""Hostile input is refused when publishing and when fetching, and leaves no files."""

import dataclasses
import hashlib
import json
import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tasks.errors import InputError
from tasks.storage.aliases import read_alias
from tasks.storage.embedded_server import Endpoint
from tasks.storage.fetch import fetch
from tasks.storage.publish import publish
from tasks.storage.store import MAX_DOCUMENT, Store
from tests.factories.waiting import no_file_larger_than
from tests.storage.conftest import connected
from tests.storage.hostile import UNSAFE_PATHS, publish_by_hand
from tests.storage.invariant import contents

OUTSIDE = "outside of everything"


@pytest.fixture(scope="module")
def connection(endpoint: Endpoint) -> Iterator[Store]:
    """Shared by many tests: a client takes a while to create."""
    with connected(endpoint) as store:
        yield store


@pytest.fixture
def store(connection: Store) -> Store:
    return dataclasses.replace(connection, prefix=f"test-{uuid.uuid4().hex[:8]}")


def keys(store: Store) -> list[str]:
    found = store.client.list_objects_v2(Bucket=store.bucket, Prefix=store.prefix).get("Contents", [])
    return [item["Key"] for item in found]


def stated(data: bytes, **changes: Any) -> dict[str, Any]:
    return {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()} | changes


def two_in_case(release: Path) -> None:
    (release / "CONFIG.json").write_text("{}")
    if len(list(release.glob("*.json"))) == 1:
        pytest.skip("this file system is not case-sensitive")


def deep(release: Path) -> None:
    folder = release.joinpath(*["d" * 100] * 6)
    folder.mkdir(parents=True)
    (folder / "a.txt").write_text("a")


FOLDERS: dict[str, Callable[[Path], object]] = {
    "a link to a file": lambda release: (release / "a.txt").symlink_to("/etc/hostname"),
    "a link to a folder": lambda release: (release / "etc").symlink_to("/etc"),
    "a link within": lambda release: (release / "a.json").symlink_to("config.json"),
    "a link to nothing": lambda release: (release / "a.txt").symlink_to("nothing"),
    "a pipe": lambda release: os.mkfifo(release / "a.txt"),
    "pickle weights": lambda release: (release / "pytorch_model.bin").write_bytes(b"\x80\x04."),
    "pickle weights below": lambda release: (release / "samples" / "weights.PT").write_bytes(b"\x80\x04."),
    "code": lambda release: (release / "modeling.py").write_text("import os"),
    "two names that differ in case": two_in_case,
    "a name too long": lambda release: (release / ("x" * 201)).write_text("a"),
    "a path too long": deep,
    "a name with a line feed": lambda release: (release / "a\nb").write_text("a"),
    "a name with a backslash": lambda release: (release / "..\\a").write_text("a"),
    "a hidden file": lambda release: (release / ".netrc").write_text("a"),
    "a manifest of its own": lambda release: (release / "manifest.json").write_text("{}"),
}


@pytest.mark.parametrize("make", FOLDERS.values(), ids=FOLDERS)
def test_nothing_of_a_hostile_folder_is_sent(store: Store, release: Path, make: Callable[[Path], object]) -> None:
    make(release)
    with pytest.raises(InputError):
        publish(store, release, "jokes")
    assert keys(store) == []


def test_a_folder_behind_a_link_is_published_as_its_content(store: Store, release: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(release)
    version = publish(store, release, "jokes").version
    assert publish(store, tmp_path / "link", "jokes").version == version


MANIFESTS: dict[str, dict[str, Any]] = {
    **{repr(path): {path: stated(b"x")} for path in UNSAFE_PATHS},
    "two names that differ in case": {"a": stated(b"x"), "A": stated(b"x")},
    "two folders that differ in case": {"a/x": stated(b"x"), "A/y": stated(b"x")},
    "a file that is a folder": {"a": stated(b"x"), "a/b": stated(b"x")},
    "a bad one among good ones": {"a": stated(b"x"), "b/../../c": stated(b"x"), "d": stated(b"x")},
    "a negative size": {"a": stated(b"x", size=-1)},
    "no hash": {"a": stated(b"x", sha256="")},
}


@pytest.mark.parametrize("files", MANIFESTS.values(), ids=MANIFESTS)
def test_a_hostile_manifest_is_refused_before_anything_is_written(
    store: Store, tmp_path: Path, files: dict[str, Any]
) -> None:
    version = publish_by_hand(store, files)
    (tmp_path / "out").mkdir()
    with pytest.raises(InputError):
        fetch(store, "jokes", version, tmp_path / "out" / "target")
    assert [path.name for path in tmp_path.rglob("*")] == ["out"]


@pytest.mark.parametrize("held", [b"", b"dat", b"data and more", b"DATA"], ids=["empty", "short", "long", "other"])
def test_a_file_of_another_size_or_content_than_stated_leaves_no_files(
    store: Store, tmp_path: Path, held: bytes
) -> None:
    version = publish_by_hand(store, {"a": stated(b"first"), "b": stated(b"data")})
    for path, data in {"a": b"first", "b": held}.items():
        store.write(store.key("jokes", "versions", version, path), data)
    with pytest.raises(InputError, match=r"/b is damaged"):
        fetch(store, "jokes", version, tmp_path / "out" / "target")
    assert list((tmp_path / "out").iterdir()) == []


def test_no_more_of_a_huge_file_is_written_than_is_stated(store: Store, tmp_path: Path) -> None:
    version = publish_by_hand(store, {"a": stated(b"data")})
    huge = bytes(8 * 2**20)
    store.client.put_object(Bucket=store.bucket, Key=store.key("jokes", "versions", version, "a"), Body=huge)
    with no_file_larger_than(2**21), pytest.raises(InputError, match="damaged"):
        fetch(store, "jokes", version, tmp_path / "out" / "target")
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("key", ["aliases/latest.json", "versions/{version}/manifest.json"])
def test_a_huge_manifest_is_not_read(store: Store, release: Path, tmp_path: Path, key: str) -> None:
    version = publish(store, release, "jokes").version
    huge = bytes(MAX_DOCUMENT + 1)
    store.client.put_object(
        Bucket=store.bucket, Key=store.key("jokes", *key.format(version=version).split("/")), Body=huge
    )
    with pytest.raises(InputError, match=f"larger than {MAX_DOCUMENT:,} bytes"):
        fetch(store, "jokes", "latest", tmp_path / "target")
    assert not (tmp_path / "target").exists()


def test_a_wrong_manifest_of_a_version_is_replaced_when_it_is_published_again(
    store: Store, release: Path, tmp_path: Path
) -> None:
    version = publish(store, release, "jokes", aliases=[]).version
    key = store.key("jokes", "versions", version, "manifest.json")
    store.write(key, json.dumps({"name": "jokes", "files": {"../../x": stated(b"x")}}).encode())
    with pytest.raises(InputError, match="damaged"):
        fetch(store, "jokes", version, tmp_path / "target")
    publish(store, release, "jokes")
    fetch(store, "jokes", "latest", tmp_path / "target")
    assert contents(tmp_path / "target") == contents(release)


@pytest.mark.parametrize("selector", ["../latest", "/etc", "a/../../b", "", ".", "A" * 64 + "/.."])
def test_a_hostile_alias_or_name_is_refused(store: Store, tmp_path: Path, selector: str) -> None:
    for name, alias in (("jokes", selector), (selector, "latest")):
        with pytest.raises(InputError):
            fetch(store, name, alias, tmp_path / "target")
    assert list(tmp_path.iterdir()) == []


def test_the_destination_of_a_link_in_the_target_is_left_alone(store: Store, release: Path, tmp_path: Path) -> None:
    publish(store, release, "jokes")
    mine, target = tmp_path / "mine", tmp_path / "out" / "target"
    mine.mkdir()
    (mine / "config.json").write_text(OUTSIDE)
    target.mkdir(parents=True)
    (target / "config.json").symlink_to(mine / "config.json")
    (target / "samples").symlink_to(mine)
    with pytest.raises(InputError, match="is not part of it"):
        fetch(store, "jokes", "latest", target)
    fetch(store, "jokes", "latest", target, replace=True)
    assert contents(mine) == {"config.json": OUTSIDE.encode()}
    assert contents(target) == contents(release)
    assert not any(path.is_symlink() for path in target.rglob("*"))


NO_FOLDERS: dict[str, Callable[[Path], object]] = {
    "a file": lambda target: target.write_text(OUTSIDE),
    "a link to a folder": lambda target: target.symlink_to(target.parent.parent),
    "a link to nothing": lambda target: target.symlink_to("nothing"),
    "a link to itself": lambda target: target.symlink_to("target"),
}


@pytest.mark.parametrize("make", NO_FOLDERS.values(), ids=NO_FOLDERS)
def test_a_target_that_is_not_a_folder_is_one_sentence_and_stays(
    store: Store, release: Path, tmp_path: Path, make: Callable[[Path], object]
) -> None:
    publish(store, release, "jokes")
    (target := tmp_path / "out" / "target").parent.mkdir()
    make(target)
    for replace in (False, True):
        with pytest.raises(InputError, match="target is"):
            fetch(store, "jokes", "latest", target, replace=replace)
        assert list(target.parent.iterdir()) == [target]
        assert target.is_symlink() or target.read_text() == OUTSIDE


def test_an_alias_without_a_number_is_refused(store: Store) -> None:
    alias = {"version": "1" * 64, "previous": "2" * 64, "nonce": "x", "published_at": "x"}
    store.write(store.key("jokes", "aliases", "latest.json"), json.dumps(alias).encode())
    with pytest.raises(InputError, match="is not a valid alias"):
        read_alias(store, "jokes", "latest")
