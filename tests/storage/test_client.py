import dataclasses
import logging
import socket
import threading
import time
from typing import Any

import pytest

from tasks.errors import InputError, UnavailableError
from tasks.storage.destination import open_store, parse_destination
from tasks.storage.embedded_server import Endpoint
from tasks.storage.store import Store
from tests.storage.conftest import connected
from tests.storage.faults import ALWAYS, Fault, sent_reset
from tests.storage.gate import gate_before


def opened(text: str) -> Store:
    with open_store(parse_destination(text)) as store:
        return store


def closed_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def test_a_bucket_that_does_not_exist_is_named_and_not_created(as_remote: Endpoint, store: Store) -> None:
    with pytest.raises(InputError, match=f"s3://no-such-bucket at {as_remote.url} does not exist"):
        opened("s3://no-such-bucket/x")
    assert [bucket["Name"] for bucket in store.client.list_buckets()["Buckets"]] == ["releases"]


@pytest.mark.parametrize("variable", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"])
def test_wrong_credentials_are_refused_in_one_sentence(
    as_remote: Endpoint, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, "WRONGWRONGWRONGWRONG")
    with pytest.raises(InputError, match=r"does not accept these credentials|403") as caught:
        opened("s3://releases/x")
    assert "WRONG" not in str(caught.value)


def test_missing_credentials_say_what_to_set(as_remote: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(InputError, match="set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"):
        opened("s3://releases/x")


def test_an_unknown_profile_is_named(as_remote: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "no-such-profile")
    with pytest.raises(InputError, match="no-such-profile"):
        opened("s3://releases/x")


def test_an_endpoint_that_refuses_connections_is_noticed_within_15_seconds(
    as_remote: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"http://127.0.0.1:{closed_port()}"
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", url)
    before = time.monotonic()
    with pytest.raises(UnavailableError, match=f"s3://releases at {url} does not answer"):
        opened("s3://releases/x")
    assert time.monotonic() - before < 15


def test_plain_http_to_another_machine_is_refused_unless_allowed(
    as_remote: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://store.invalid:9000")
    with pytest.raises(InputError, match="SPINNERET_ALLOW_HTTP=1"):
        opened("s3://releases/x")
    monkeypatch.setenv("SPINNERET_ALLOW_HTTP", "1")
    with pytest.raises(UnavailableError):
        opened("s3://releases/x")


@pytest.mark.parametrize("url", ["store.example.org", "ftp://store.example.org", "http://"])
def test_an_endpoint_that_is_not_a_url_is_named(as_remote: Endpoint, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", url)
    with pytest.raises(InputError, match="AWS_ENDPOINT_URL_S3 is"):
        opened("s3://releases/x")


def test_each_put_carries_the_md5_of_its_body(store: Store) -> None:
    sent: dict[str, str] = {}

    def record(request: Any, **_: object) -> None:
        sent.update(request.headers.items())

    store.client.meta.events.register("before-send.s3.PutObject", record)
    store.write(store.key("x"), b"hello")
    assert sent["Content-MD5"] in ("XUFAKrxLKna5cZ2REBfFkg==", b"XUFAKrxLKna5cZ2REBfFkg==")
    assert not any("checksum" in name.lower() or "trailer" in name.lower() for name in sent)


def test_bytes_that_arrive_damaged_are_sent_again(store: Store) -> None:
    attempts = []

    def break_the_first(request: Any, **_: object) -> None:
        attempts.append(request)
        if len(attempts) == 1:
            request.body = b"hellO"

    store.client.meta.events.register("before-send.s3.PutObject", break_the_first)
    assert store.write(store.key("x"), b"hello") == b"hello"
    assert len(attempts) == 2


def test_an_outage_of_two_seconds_is_retried_until_it_ends(endpoint: Endpoint) -> None:
    outage = Fault(sent_reset, "PUT", "/x", times=ALWAYS)
    with gate_before(endpoint.url) as gate, connected(dataclasses.replace(endpoint, url=gate.url)) as store:
        gate.faults.append(outage)
        threading.Timer(2, gate.faults.clear).start()
        assert store.write(store.key("x"), b"hello") == b"hello"
    assert outage.hits >= 3


def test_the_loggers_that_print_session_tokens_stay_at_warning(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        store.read(store.key("nothing"))
    assert not caplog.records
