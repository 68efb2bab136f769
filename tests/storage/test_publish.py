import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ConnectionClosedError

from tasks.errors import InputError, UnavailableError
from tasks.storage.aliases import move_alias, read_alias
from tasks.storage.fetch import fetch
from tasks.storage.inventory import list_versions
from tasks.storage.manifest import build_manifest, scan
from tasks.storage.publish import publish
from tasks.storage.store import Store


class KilledError(Exception):
    """Simulates the end of the process; not a BaseException, which upload threads swallow."""


def keys_put(store: Store) -> list[str]:
    """Records the keys below the prefix in the order of the PUTs from now on; a part of a large file as UploadPart."""
    keys: list[str] = []

    def record(params: dict[str, Any], **_: object) -> None:
        if "/probes/" not in params["Key"]:
            keys.append(params["Key"].removeprefix(f"{store.prefix}/"))

    for operation in ("PutObject", "UploadPart"):
        store.client.meta.events.register(f"provide-client-params.s3.{operation}", record)
    return keys


def complete_versions(store: Store) -> set[str]:
    return {one.version for one in list_versions(store, "jokes").versions}


def test_files_come_first_then_the_manifest_then_the_alias(store: Store, release: Path) -> None:
    keys = keys_put(store)
    version = publish(store, release, "jokes", aliases=["latest", "best"]).version
    base = f"jokes/versions/{version}"
    files = ["config.json", "model.safetensors", "samples/texts@1.txt"]
    assert sorted(keys[:3]) == [f"{base}/{file}" for file in files]
    assert keys[3:] == [f"{base}/manifest.json", "jokes/aliases/latest.json", "jokes/aliases/best.json"]


def test_publishing_again_uploads_nothing_and_leaves_the_alias(store: Store, release: Path) -> None:
    first = publish(store, release, "jokes", meta={"loss": 1.5})
    alias = read_alias(store, "jokes", "latest")
    keys = keys_put(store)
    again = publish(store, release, "jokes")
    assert (first.uploaded_files, first.uploaded_bytes) == (3, first.bytes)
    assert (again.uploaded_files, again.uploaded_bytes) == (0, 0)
    assert (again.version, again.files, again.bytes) == (first.version, 3, 102_413)
    assert not keys
    assert read_alias(store, "jokes", "latest") == alias
    assert alias is not None
    assert alias.meta == {"loss": 1.5}


def test_an_alias_counts_its_moves_and_keeps_its_previous_version(store: Store, release: Path) -> None:
    first = publish(store, release, "jokes").version
    (release / "config.json").write_text("{}")
    second = publish(store, release, "jokes").version
    alias = read_alias(store, "jokes", "latest")
    assert alias is not None
    assert (alias.version, alias.previous, alias.seq) == (second, first, 2)
    assert complete_versions(store) == {first, second}


def test_the_version_is_the_sha256_of_the_manifest_in_the_store(store: Store, release: Path, on_disk: Path) -> None:
    version = publish(store, release, "jokes").version
    built = build_manifest("jokes", scan(release))
    assert (on_disk / "jokes" / "versions" / version / "manifest.json").read_bytes() == built.data
    assert built.version == version


@pytest.mark.parametrize("at", ["model.safetensors", "manifest.json", "aliases/latest.json"])
def test_killed_at_any_step_the_alias_stays_and_the_retry_sends_only_the_rest(
    store: Store, release: Path, tmp_path: Path, on_disk: Path, at: str
) -> None:
    old = publish(store, release, "jokes").version
    (release / "config.json").write_text("{}")

    def kill(params: dict[str, Any], **_: object) -> None:
        if params["Key"].endswith(at):
            raise KilledError

    store.client.meta.events.register("provide-client-params.s3.PutObject", kill)
    with pytest.raises(KilledError):
        publish(store, release, "jokes")
    alias = read_alias(store, "jokes", "latest")
    assert alias is not None
    assert alias.version == old
    assert fetch(store, "jokes", "latest", tmp_path / "old").version == old

    store.client.meta.events.unregister("provide-client-params.s3.PutObject", kill)
    (version,) = [folder for folder in (on_disk / "jokes" / "versions").iterdir() if folder.name != old]
    there = [path for path in version.rglob("*") if path.is_file() and path.name != "manifest.json"]
    retried = publish(store, release, "jokes")
    assert retried.uploaded_files == 3 - len(there)
    assert (len(there) == 3) == (at != "model.safetensors")
    assert fetch(store, "jokes", "latest", tmp_path / "new").version == retried.version != old


@pytest.mark.usefixtures("short_pauses")
def test_a_lost_response_is_not_a_failure(store: Store, release: Path) -> None:
    lost = []

    def lose(request: Any, **_: object) -> None:
        lost.append(request)
        raise ConnectionClosedError(endpoint_url=request.url)

    def put_then_lose(params: dict[str, Any], **_: object) -> None:
        if params["Key"].endswith("latest.json"):
            store.client.meta.events.unregister("provide-client-params.s3.PutObject", put_then_lose)
            store.client.put_object(**params)
            store.client.meta.events.register("before-send.s3.PutObject", lose)

    store.client.meta.events.register("provide-client-params.s3.PutObject", put_then_lose)
    version = publish(store, release, "jokes").version
    alias = read_alias(store, "jokes", "latest")
    assert alias is not None
    assert alias.version == version
    assert lost


def test_an_alias_that_another_publisher_takes_at_the_same_time_is_reported(store: Store, release: Path) -> None:
    other = "b" * 64
    version = publish(store, release, "jokes", aliases=[]).version

    def overtake(**_: object) -> None:
        store.client.meta.events.unregister("after-call.s3.PutObject", overtake)
        move_alias(store, "jokes", "other", other)
        data = store.read(store.key("jokes", "aliases", "other.json"))
        assert data is not None
        store.write(store.key("jokes", "aliases", "latest.json"), data)

    store.client.meta.events.register("after-call.s3.PutObject", overtake)
    with pytest.raises(UnavailableError, match="bbbbbbbbbbbb by another publisher"):
        move_alias(store, "jokes", "latest", version)


def test_an_object_damaged_in_the_store_is_sent_again(store: Store, release: Path, on_disk: Path) -> None:
    version = publish(store, release, "jokes").version
    rotten = on_disk / "jokes" / "versions" / version / "config.json"
    rotten.write_text('{"layers": 9}')
    assert publish(store, release, "jokes").uploaded_files == 1
    assert rotten.read_text() == '{"layers": 2}'


def test_a_file_that_changes_during_publication_is_not_released(store: Store, release: Path) -> None:
    def change(**_: object) -> None:
        (release / "model.safetensors").write_bytes(b"shorter")

    store.client.meta.events.register("provide-client-params.s3.PutObject", change)
    with pytest.raises(UnavailableError, match=r"model.safetensors .*try again"):
        publish(store, release, "jokes")
    assert complete_versions(store) == set()


def test_a_large_file_is_sent_in_parts_and_its_etag_is_predicted(store: Store, tmp_path: Path) -> None:
    (tmp_path / "big").mkdir()
    (tmp_path / "big" / "model.safetensors").write_bytes(bytes(range(256)) * 140_000)
    keys, progress = keys_put(store), list[tuple[int, int]]()
    published = publish(
        store, tmp_path / "big", "jokes", on_progress=lambda done, total: progress.append((done, total))
    )
    assert len([key for key in keys if key.endswith("model.safetensors")]) == 3
    assert progress[-1] == (published.bytes, published.bytes)
    assert publish(store, tmp_path / "big", "jokes").uploaded_files == 0


def test_after_a_failure_the_other_uploads_end_without_a_retry(store: Store, release: Path) -> None:
    (release / "config.json").write_bytes(bytes(2**21))
    began, failed = threading.Event(), threading.Event()

    def fail(params: dict[str, Any], **_: object) -> None:
        if params["Key"].endswith("model.safetensors"):
            assert began.wait(60)
            failed.set()
            raise KilledError

    def wait_for_the_failure(*_: int) -> None:
        began.set()
        assert failed.wait(60)
        time.sleep(0.2)

    requests: list[str] = []
    store.client.meta.events.register("provide-client-params.s3.PutObject", fail)
    store.client.meta.events.register("before-send.s3.PutObject", lambda request, **_: requests.append(request.url))
    with pytest.raises(KilledError):
        publish(store, release, "jokes", on_progress=wait_for_the_failure)
    assert len([url for url in requests if url.endswith("config.json")]) == 1


def test_an_invalid_name_sends_nothing(store: Store, release: Path, on_disk: Path) -> None:
    for name in ("", "a/b", "a@b", "../x", ".x", "a b", "n" * 101):
        with pytest.raises(InputError):
            publish(store, release, name)
        with pytest.raises(InputError):
            publish(store, release, "jokes", aliases=["latest", name])
    with pytest.raises(InputError, match="look like a version"):
        publish(store, release, "jokes", aliases=["a" * 64])
    assert not on_disk.exists()


def test_an_alias_of_another_form_is_refused(store: Store) -> None:
    for content in (b"[]", b"{", b"{}", json.dumps({"version": "../x"}).encode()):
        store.write(store.key("jokes", "aliases", "latest.json"), content)
        with pytest.raises(InputError, match="is not a valid alias"):
            read_alias(store, "jokes", "latest")
