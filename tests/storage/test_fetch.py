import contextlib
import dataclasses
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tasks.errors import InputError
from tasks.storage.client import connect_to_embedded
from tasks.storage.embedded_server import Endpoint
from tasks.storage.fetch import fetch, resolve
from tasks.storage.publish import publish
from tasks.storage.store import Store
from tests.factories.waiting import no_file_larger_than
from tests.storage.hostile import UNSAFE_PATHS, publish_by_hand
from tests.storage.invariant import contents


@contextlib.contextmanager
def cutting_proxy(url: str, after: int) -> Iterator[str]:
    """Pass connections on to `url`, and cut the first one that has answered more than `after` bytes."""
    server = socket.create_server(("127.0.0.1", 0))
    uncut = [True]

    def answer(client: socket.socket, upstream: socket.socket) -> None:
        passed = 0
        with client, upstream:
            while block := upstream.recv(2**16):
                passed += len(block)
                if passed > after and uncut:
                    uncut.clear()
                    client.shutdown(socket.SHUT_RDWR)
                    upstream.shutdown(socket.SHUT_RDWR)
                    return
                client.sendall(block)

    def ask(client: socket.socket, upstream: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while block := client.recv(2**16):
                upstream.sendall(block)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                client = server.accept()[0]
                upstream = socket.create_connection((urlsplit(url).hostname, urlsplit(url).port))
                for pump in (ask, answer):
                    threading.Thread(target=pump, args=(client, upstream), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    yield f"http://127.0.0.1:{server.getsockname()[1]}"
    server.close()


def test_what_is_fetched_is_what_was_published(store: Store, release: Path, tmp_path: Path) -> None:
    published, progress = publish(store, release, "jokes"), list[tuple[int, int]]()
    target = tmp_path / "deep" / "target"
    fetched = fetch(store, "jokes", "latest", target, on_progress=lambda done, total: progress.append((done, total)))
    assert contents(target) == contents(release)
    assert (fetched.version, fetched.folder, fetched.files) == (published.version, target, 3)
    assert fetched.downloaded_bytes == fetched.bytes == published.bytes
    assert progress[-1] == (published.bytes, published.bytes)
    assert [path.name for path in target.parent.iterdir()] == ["target"]


def test_a_complete_target_is_not_fetched_again(store: Store, release: Path, tmp_path: Path) -> None:
    version = publish(store, release, "jokes").version
    fetch(store, "jokes", "latest", tmp_path / "target")
    assert fetch(store, "jokes", version, tmp_path / "target").downloaded_bytes == 0


def test_another_folder_at_the_target_is_kept_unless_it_may_be_replaced(
    store: Store, release: Path, tmp_path: Path
) -> None:
    publish(store, release, "jokes")
    target = tmp_path / "target"
    fetch(store, "jokes", "latest", target)
    (target / "config.json").write_text('{"layers": 9}')
    (target / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="target is not jokes@latest"):
        fetch(store, "jokes", "latest", target)
    assert (target / "mine.txt").exists()
    fetch(store, "jokes", "latest", target, replace=True)
    assert contents(target) == contents(release)


def test_one_wrong_byte_is_detected_and_leaves_no_files(
    store: Store, release: Path, tmp_path: Path, on_disk: Path
) -> None:
    version = publish(store, release, "jokes").version
    stored = on_disk / "jokes" / "versions" / version / "model.safetensors"
    stored.write_bytes(b"\xff" + stored.read_bytes()[1:])
    with pytest.raises(InputError, match=r"model.safetensors is damaged: .*; publish the release again"):
        fetch(store, "jokes", "latest", tmp_path / "out" / "target")
    assert not list((tmp_path / "out").iterdir())


def test_a_failed_fetch_leaves_the_target_unchanged(store: Store, release: Path, tmp_path: Path, on_disk: Path) -> None:
    version = publish(store, release, "jokes").version
    (tmp_path / "target").mkdir()
    (tmp_path / "target" / "old").write_text("old")
    (on_disk / "jokes" / "versions" / version / "config.json").write_text('{"layers": 9}')
    with pytest.raises(InputError, match="damaged"):
        fetch(store, "jokes", "latest", tmp_path / "target", replace=True)
    assert contents(tmp_path / "target") == {"old": b"old"}


def test_a_missing_object_is_named(store: Store, release: Path, tmp_path: Path) -> None:
    version = publish(store, release, "jokes").version
    store.client.delete_object(Bucket=store.bucket, Key=store.key("jokes", "versions", version, "config.json"))
    with pytest.raises(InputError, match=r"config.json is missing"):
        fetch(store, "jokes", "latest", tmp_path / "target")
    assert not (tmp_path / "target").exists()


def test_a_damaged_manifest_is_refused(store: Store, release: Path, tmp_path: Path, on_disk: Path) -> None:
    version = publish(store, release, "jokes").version
    manifest = on_disk / "jokes" / "versions" / version / "manifest.json"
    manifest.write_bytes(manifest.read_bytes().replace(b"config", b"konfig"))
    with pytest.raises(InputError, match="damaged"):
        fetch(store, "jokes", "latest", tmp_path / "target")


def test_a_manifest_of_another_release_is_refused(store: Store, release: Path, tmp_path: Path) -> None:
    version = publish(store, release, "other").version
    data = store.read(store.key("other", "versions", version, "manifest.json"))
    assert data is not None
    store.write(store.key("jokes", "versions", version, "manifest.json"), data)
    with pytest.raises(InputError, match="is of the release other"):
        fetch(store, "jokes", version, tmp_path / "target")


def test_a_hostile_path_in_a_published_manifest_writes_nothing(store: Store, tmp_path: Path) -> None:
    for path in UNSAFE_PATHS:
        version = publish_by_hand(store, {path: {"size": 1, "sha256": "a" * 64}})
        with pytest.raises(InputError):
            fetch(store, "jokes", version, tmp_path / "out" / "target")
    assert not list(tmp_path.rglob("*"))


def test_a_release_that_is_not_there_says_what_to_do(store: Store, release: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no release jokes@latest: .*publish one with"):
        resolve(store, "jokes", "latest")
    with pytest.raises(InputError, match="no complete version"):
        fetch(store, "jokes", "a" * 64, tmp_path / "target")


def test_a_fetch_lists_nothing(store: Store, release: Path, tmp_path: Path) -> None:
    publish(store, release, "jokes")
    operations: list[str] = []
    store.client.meta.events.register("before-call.s3", lambda model, **_: operations.append(model.name))
    fetch(store, "jokes", "latest", tmp_path / "target")
    assert set(operations) == {"GetObject"}


def test_a_release_larger_than_the_disk_is_refused_with_both_sizes(store: Store, tmp_path: Path) -> None:
    version = publish_by_hand(store, {"a": {"size": 10**18, "sha256": "a" * 64}})
    with pytest.raises(InputError, match=r"1,000,000,000,000,000,000 bytes and [\d,]+ are free"):
        fetch(store, "jokes", version, tmp_path / "out" / "target")
    assert not list((tmp_path / "out").iterdir())


def test_a_disk_that_fills_up_leaves_no_files(store: Store, release: Path, tmp_path: Path) -> None:
    publish(store, release, "jokes")
    too_small = "too small for jokes: the release has 102,413 bytes"
    with no_file_larger_than(50_000), pytest.raises(InputError, match=too_small):
        fetch(store, "jokes", "latest", tmp_path / "out" / "target")
    assert not list((tmp_path / "out").iterdir())


def test_a_broken_stream_is_resumed_where_it_broke(
    store: Store, release: Path, tmp_path: Path, endpoint: Endpoint
) -> None:
    (release / "model.safetensors").write_bytes(os.urandom(3 * 2**20))
    publish(store, release, "jokes")
    ranges: list[str | None] = []

    def record(params: dict[str, Any], **_: object) -> None:
        if params["Key"].endswith("model.safetensors"):
            ranges.append(params.get("Range"))

    with cutting_proxy(endpoint.url, after=5 * 2**19) as url:
        client = connect_to_embedded(dataclasses.replace(endpoint, url=url))
        client.meta.events.register("provide-client-params.s3.GetObject", record)
        fetch(dataclasses.replace(store, client=client), "jokes", "latest", tmp_path / "target")
    assert contents(tmp_path / "target") == contents(release)
    first, second = ranges
    assert first is None
    assert second is not None
    assert 2**21 <= int(second.removeprefix("bytes=").removesuffix("-")) <= 5 * 2**19


def test_a_day_old_part_of_a_killed_fetch_is_deleted(store: Store, release: Path, tmp_path: Path) -> None:
    publish(store, release, "jokes")
    old, new = tmp_path / ".part-target-old", tmp_path / ".part-target-new"
    old.mkdir()
    new.mkdir()
    os.utime(old, (1, 1))
    fetch(store, "jokes", "latest", tmp_path / "target")
    assert not old.exists()
    assert new.exists()
