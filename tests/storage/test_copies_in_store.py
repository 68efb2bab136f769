"""Files of the previous version are copied inside the store; if that fails they are sent."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tasks.storage import sending
from tasks.storage.fetch import fetch
from tasks.storage.manifest import MIN_PART
from tasks.storage.publish import MIN_COPY, publish
from tasks.storage.store import Store
from tests.storage.conftest import Line
from tests.storage.faults import Fault, answer_lost, refused
from tests.storage.gate import Answer, Exchange, pass_on
from tests.storage.invariant import contents

pytestmark = pytest.mark.usefixtures("short_pauses")

SIZES = {"at once": MIN_COPY, "in parts": MIN_PART + 1}


@pytest.fixture
def large(release: Path) -> Path:
    """A release of a large file and a small one."""
    (release / "samples" / "texts@1.txt").unlink()
    (release / "model.safetensors").write_bytes(os.urandom(MIN_COPY))
    return release


class Copying(Fault):
    """Matches requests without a body, such as a copy."""

    def strikes(self, exchange: Exchange) -> bool:
        return exchange.size == 0 and super().strikes(exchange)


class Sizes(Fault):
    """Matches nothing, and records the sizes of the bodies."""

    def strikes(self, exchange: Exchange) -> bool:
        SEEN.append((exchange.method, exchange.size))
        return False


SEEN: list[tuple[str, int]] = []


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_an_unchanged_large_file_is_copied_inside_the_store(
    line: Line, release: Path, tmp_path: Path, size: int
) -> None:
    (release / "samples" / "texts@1.txt").unlink()
    (release / "model.safetensors").write_bytes(os.urandom(size))
    publish(line.through, release, "jokes")
    (release / "config.json").write_text('{"layers": 3}')
    SEEN.clear()
    line.gate.faults.append(Sizes(pass_on, "PUT", ""))
    published = publish(line.through, release, "jokes")
    assert (published.copied_files, published.copied_bytes) == (1, size)
    assert (published.uploaded_files, published.uploaded_bytes) == (1, 13)
    assert ("PUT", 0) in SEEN
    assert max(size for _, size in SEEN) < 5000
    assert fetch(line.direct, "jokes", "latest", tmp_path / "target").version == published.version
    assert contents(tmp_path / "target") == contents(release)


def test_a_renamed_file_is_copied_too(store: Store, large: Path, tmp_path: Path) -> None:
    publish(store, large, "jokes")
    (large / "model.safetensors").rename(large / "weights.safetensors")
    assert publish(store, large, "jokes").copied_files == 1
    fetch(store, "jokes", "latest", tmp_path / "target")
    assert contents(tmp_path / "target") == contents(large)


def test_other_bytes_under_the_same_name_are_sent(store: Store, large: Path) -> None:
    publish(store, large, "jokes")
    (large / "model.safetensors").write_bytes(os.urandom(MIN_COPY))
    published = publish(store, large, "jokes")
    assert (published.copied_files, published.uploaded_files) == (0, 2)


def test_a_small_file_is_sent(store: Store, release: Path) -> None:
    (release / "model.safetensors").write_bytes(bytes(MIN_COPY - 1))
    publish(store, release, "jokes")
    (release / "config.json").write_text('{"layers": 3}')
    assert publish(store, release, "jokes").copied_files == 0


def test_the_first_alias_names_the_version_to_copy_from(store: Store, large: Path) -> None:
    publish(store, large, "jokes", aliases=["best"])
    (large / "config.json").write_text('{"layers": 3}')
    assert publish(store, large, "jokes", aliases=["latest", "best"]).copied_files == 0
    (large / "config.json").write_text('{"layers": 4}')
    assert publish(store, large, "jokes", aliases=["best"]).copied_files == 1
    (large / "config.json").write_text('{"layers": 5}')
    assert publish(store, large, "jokes", aliases=[]).copied_files == 0


def nothing_done(exchange: Exchange) -> None:
    """The store reports a copy that it did not make."""
    body = b"<CopyObjectResult><ETag>&quot;0&quot;</ETag></CopyObjectResult>"
    exchange.give(Answer(200, (("Content-Type", "application/xml"),), body))


REFUSALS = {
    "not implemented": refused(501, "NotImplemented"),
    "a wrong request": refused(400, "InvalidRequest"),
    "not allowed": refused(403, "AccessDenied"),
    "pruned meanwhile": refused(404, "NoSuchKey"),
    "an error in the answer": refused(200, "InternalError"),
    "nothing": nothing_done,
    "no answer": Exchange.hang_up,
}


@pytest.mark.parametrize("act", REFUSALS.values(), ids=REFUSALS)
def test_a_file_that_the_store_does_not_copy_is_sent(
    line: Line, large: Path, tmp_path: Path, act: Callable[[Exchange], None]
) -> None:
    publish(line.direct, large, "jokes")
    (large / "config.json").write_text('{"layers": 3}')
    fault = Copying(act, "PUT", "/model.safetensors").lasting()
    line.gate.faults.append(fault)
    published = publish(line.through, large, "jokes")
    assert fault.hits
    assert (published.copied_files, published.uploaded_files) == (0, 2)
    fetch(line.direct, "jokes", "latest", tmp_path / "target")
    assert contents(tmp_path / "target") == contents(large)


def test_a_copy_whose_response_was_lost_counts(line: Line, large: Path) -> None:
    publish(line.direct, large, "jokes")
    (large / "config.json").write_text('{"layers": 3}')
    fault = Copying(answer_lost, "PUT", "/model.safetensors").lasting()
    line.gate.faults.append(fault)
    assert publish(line.through, large, "jokes").copied_files == 1
    assert fault.hits


def test_wrong_bytes_from_a_copy_are_detected_and_uploaded(line: Line, large: Path, tmp_path: Path) -> None:
    def copy_wrongly(exchange: Exchange) -> None:
        key = exchange.key.removeprefix(f"/{line.direct.bucket}/")
        line.direct.client.put_object(Bucket=line.direct.bucket, Key=key, Body=bytes(MIN_COPY))
        nothing_done(exchange)

    publish(line.direct, large, "jokes")
    (large / "config.json").write_text('{"layers": 3}')
    line.gate.faults.append(Copying(copy_wrongly, "PUT", "/model.safetensors"))
    published = publish(line.through, large, "jokes")
    assert (published.copied_files, published.uploaded_files) == (0, 2)
    fetch(line.direct, "jokes", "latest", tmp_path / "target")
    assert contents(tmp_path / "target") == contents(large)


@pytest.mark.parametrize("damaged", ["manifest.json", "model.safetensors", "nothing is left"])
def test_a_damaged_previous_version_does_not_prevent_publishing(
    store: Store, large: Path, tmp_path: Path, on_disk: Path, damaged: str
) -> None:
    version = publish(store, large, "jokes").version
    for file in (on_disk / "jokes" / "versions" / version).iterdir():
        if file.name == damaged:
            file.write_bytes(bytes(file.stat().st_size))
        elif damaged == "nothing is left":
            key = store.key("jokes", "versions", version, file.name)
            store.client.delete_object(Bucket=store.bucket, Key=key)
    (large / "config.json").write_text('{"layers": 3}')
    published = publish(store, large, "jokes")
    assert (published.copied_files, published.uploaded_files) == (0, 2)
    fetch(store, "jokes", "latest", tmp_path / "target")
    assert contents(tmp_path / "target") == contents(large)


def test_a_file_above_the_copy_limit_is_copied_in_parts_or_sent(
    line: Line, large: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    can_copy_parts = "seaweed" in request.node.name
    monkeypatch.setattr(sending, "MAX_COPY", MIN_PART)
    (large / "model.safetensors").write_bytes(os.urandom(2 * MIN_PART + 1))
    publish(line.through, large, "jokes")
    (large / "config.json").write_text('{"layers": 3}')
    published = publish(line.through, large, "jokes")
    assert (published.copied_files, published.uploaded_files) == ((1, 1) if can_copy_parts else (0, 2))
    fetch(line.direct, "jokes", "latest", tmp_path / "target")
    assert contents(tmp_path / "target") == contents(large)
    uploads = line.direct.client.list_multipart_uploads(Bucket=line.direct.bucket, Prefix=line.direct.prefix)
    assert not uploads.get("Uploads")
