"""Over TLS the checksum trailers of boto3's defaults fail on several servers; plain http cannot show it."""

import contextlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.errors import InputError
from tasks.guarded_process import GuardedChild
from tasks.storage.destination import open_store, parse_destination
from tasks.storage.embedded_server import LOCAL_BUCKET, _rclone
from tasks.storage.fetch import fetch
from tasks.storage.publish import publish
from tests.factories.waiting import wait_until

KEYS = ("HTTPSTESTHTTPSTEST01", "secret-of-the-https-test")
STARTED = re.compile(r"https://127\.0\.0\.1:\d+")


def make_certificate(folder: Path) -> tuple[str, str]:
    certificate, key = str(folder / "certificate.pem"), str(folder / "key.pem")
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    kind = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1"]
    command = ["openssl", "req", *kind, *names, "-keyout", key, "-out", certificate]
    subprocess.run(command, check=True, capture_output=True)
    return certificate, key


@pytest.fixture
def certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A server with TLS, configured for boto3's own chain; yields its certificate."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is needed to make a certificate")
    certificate, key = make_certificate(tmp_path)
    (tmp_path / "served" / LOCAL_BUCKET).mkdir(parents=True)
    log = tmp_path / "log"
    env = {**os.environ, "RCLONE_CONFIG": "", "RCLONE_AUTH_KEY": f'"{",".join(KEYS)}"'}
    flags = ["--addr", "127.0.0.1:0", "--vfs-cache-mode", "off", "--cert", certificate, "--key", key]
    command = [str(_rclone()), "serve", "s3", str(tmp_path / "served"), *flags]
    with contextlib.closing(GuardedChild.start(command, env, log)):
        assert wait_until(lambda: STARTED.search(log.read_text()) is not None)
        found = STARTED.search(log.read_text())
        assert found is not None
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", found[0])
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEYS[0])
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", KEYS[1])
        yield certificate


def test_a_release_is_published_and_fetched_over_https(
    certificate: str, release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_CA_BUNDLE", certificate)
    with (release / "model.safetensors").open("wb") as large:
        large.truncate(17 * 2**20)
    with open_store(parse_destination("s3://releases/over/tls")) as store:
        published = publish(store, release, "jokes")
        assert fetch(store, "jokes", "latest", tmp_path / "target").bytes == published.bytes


def test_a_certificate_that_cannot_be_verified_is_refused(certificate: str) -> None:
    with (
        pytest.raises(InputError, match=r"cannot be verified .*AWS_CA_BUNDLE"),
        open_store(parse_destination("s3://releases/over/tls")),
    ):
        pass
