"""One real S3 server on loopback for all tests of this room; each test has its own prefix and no AWS settings."""

import contextlib
import os
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.storage.client import connect_to_embedded
from tasks.storage.embedded_server import LOCAL_BUCKET, Endpoint, embedded_store
from tasks.storage.store import Store


@pytest.fixture(autouse=True)
def no_aws_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the person who runs the tests is read, and no credentials are looked for on the network."""
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


@pytest.fixture
def store(endpoint: Endpoint) -> Iterator[Store]:
    prefix = f"test-{uuid.uuid4().hex[:8]}"
    with contextlib.closing(connect_to_embedded(endpoint)) as client:
        yield Store(client, LOCAL_BUCKET, prefix, f"s3://{LOCAL_BUCKET}/{prefix}")


@pytest.fixture
def on_disk(store: Store, served_folder: Path) -> Path:
    """Where the server keeps the objects of `store`."""
    return served_folder / store.bucket / store.prefix


@pytest.fixture
def as_remote(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> Endpoint:
    """The server as boto3's own chain finds it."""
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


def is_running(pid: int) -> bool:
    """Whether a process runs; one that ended and was not collected yet does not."""
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return state.stdout.strip()[:1] not in ("", "Z")
