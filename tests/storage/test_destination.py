import subprocess
import sys
from pathlib import Path

import pytest

from tasks.errors import InputError
from tasks.storage.destination import Destination, open_store, parse_destination, parse_reference
from tasks.storage.embedded_server import Endpoint
from tasks.storage.fetch import fetch
from tasks.storage.publish import publish

VERSION = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("text", "bucket", "prefix"),
    [
        ("s3://my-bucket", "my-bucket", ""),
        ("s3://my-bucket/", "my-bucket", ""),
        ("s3://my-bucket/team/models/", "my-bucket", "team/models"),
    ],
)
def test_a_remote_destination_is_bucket_and_prefix(text: str, bucket: str, prefix: str) -> None:
    destination = parse_destination(text)
    assert destination == Destination(None, bucket, prefix)
    assert str(destination) == text.rstrip("/")


def test_any_other_destination_is_a_folder(tmp_path: Path) -> None:
    assert parse_destination(str(tmp_path)).folder == tmp_path


@pytest.mark.parametrize(
    "text", ["", "s3://", "s3://My_Bucket", "s3://bucket/../x", "s3://bucket/a//b", "s3://bucket/.hid", "gs://b/x"]
)
def test_an_invalid_destination_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        parse_destination(text)


def test_parsing_a_destination_does_not_import_boto3() -> None:
    script = (
        "import sys; from tasks.storage.destination import parse_reference as parse; "
        "parse('s3://my-bucket/jokes@latest'); print('boto3' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, check=True).stdout == b"False\n"


def test_a_file_is_not_a_destination(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="is a file"):
        parse_destination(str(tmp_path / "file"))


@pytest.mark.parametrize(
    "destination", ["s3://my-bucket/team@x/models", "s3://my-bucket", "some/folder", "/folder", "."]
)
@pytest.mark.parametrize("selector", ["latest", VERSION])
def test_a_reference_is_destination_name_and_selector(destination: str, selector: str) -> None:
    reference = parse_reference(f"{destination}/jokes@{selector}")
    assert (reference.name, reference.selector) == ("jokes", selector)
    assert reference.destination == parse_destination(destination)
    assert parse_reference(str(reference)) == reference


@pytest.mark.parametrize(
    "text", ["", "jokes", "jokes@latest", "s3://my-bucket/jokes", "s3://jokes@latest", "f/@x", "f/j@"]
)
def test_a_reference_with_a_part_missing_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        parse_reference(text)


def test_a_folder_destination_holds_what_was_published_to_it(tmp_path: Path, release: Path) -> None:
    destination = parse_destination(str(tmp_path / "store"))
    with open_store(destination) as store:
        published = publish(store, release, "jokes")
    reference = parse_reference(published.uri)
    with open_store(reference.destination, must_exist=True) as store:
        fetched = fetch(store, reference.name, reference.selector, tmp_path / "fetched")
    assert fetched.version == published.version
    assert (tmp_path / "fetched" / "config.json").read_text() == (release / "config.json").read_text()


def test_a_folder_destination_ignores_the_remote_endpoint(
    tmp_path: Path, release: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    with open_store(parse_destination(str(tmp_path / "store"))) as store:
        publish(store, release, "jokes")
    assert (tmp_path / "store" / "releases" / "jokes").is_dir()


def test_opening_a_folder_without_releases_creates_nothing(tmp_path: Path) -> None:
    with (
        pytest.raises(InputError, match="holds no releases"),
        open_store(parse_destination(str(tmp_path / "none")), must_exist=True),
    ):
        pass
    assert not (tmp_path / "none").exists()


def test_a_remote_destination_uses_the_configured_endpoint(as_remote: Endpoint, release: Path, tmp_path: Path) -> None:
    with open_store(parse_destination("s3://releases/team/remote")) as store:
        published = publish(store, release, "jokes", aliases=["latest", "best"])
        assert store.client.meta.endpoint_url == as_remote.url
        fetched = fetch(store, "jokes", "best", tmp_path / "fetched")
    assert published.uri == f"s3://releases/team/remote/jokes@{fetched.version}"
