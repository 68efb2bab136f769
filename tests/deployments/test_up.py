"""`make up`: one installation, whole after each start, and gone after each end; it comes after what runs in it."""

import signal
import socket
import sys
from pathlib import Path

import pytest
import yaml

from deployments.automations import read_template
from deployments.installation import DEPLOYMENTS
from deployments.up import DATABASE
from tests.deployments.conftest import Up
from tests.deployments.installation import RESUMED, comes

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(sys.platform != "linux", reason="processes are found in /proc"),
]


def _installed(up: Up) -> dict[str, list[str]]:
    """The names of everything that is there once."""
    kinds = {"work_pools": "name", "deployments": "name", "automations": "name", "block_documents": "name"}
    found = {
        kind: [one[name] for one in up.api.ask("POST", f"/{kind}/filter", json={})] for kind, name in kinds.items()
    }
    return {kind: sorted(names) for kind, names in found.items()}


def test_everything_is_there_once(up: Up) -> None:
    installed = _installed(up)
    wanted = yaml.safe_load(DEPLOYMENTS.read_text())["deployments"]
    assert installed["work_pools"] == ["cpu", "gpu"]
    assert installed["deployments"] == sorted(one["name"] for one in wanted)
    assert installed["automations"] == sorted(one["name"] for one in read_template())
    assert up.api.ask("GET", "/work_pools/gpu")["concurrency_limit"] == 1


def test_a_second_one_says_where_the_first_one_is(up: Up, tmp_path: Path) -> None:
    second = up.run(tmp_path / "out")
    assert second.wait(30) == 2
    said = (tmp_path / "out").read_text()
    assert said.startswith(f"error: it is up already: {up.api.address}, process {up.process.pid} ")
    assert said.count("\n") == 1


def test_the_secret_of_the_webhook_is_nowhere_to_be_read(up: Up) -> None:
    assert "a-secret-path" not in str(up.api.ask("POST", "/block_documents/filter", json={}))
    assert "a-secret-path" not in str(up.api.ask("POST", "/automations/filter", json={}))
    assert "a-secret-path" not in up.said


def test_ctrl_c_ends_everything_and_the_next_start_goes_on_with_the_training(
    up: Up, endless: str, resumed: int
) -> None:
    before = _installed(up)
    code, took = up.end(signal.SIGINT)
    assert code == 130, up.said
    assert up.running() == []
    assert took < 30, "what is left of it after 20 s is killed"
    up.start()
    up.api.wait_for_words(RESUMED, resumed + 1)
    assert up.api.states(endless)[-1] == "Running"
    assert _installed(up) == before


def test_kill_9_leaves_no_process(up: Up, endless: str) -> None:
    assert up.api.state(endless) == "Running"
    up.process.kill()
    up.process.wait()
    assert comes(lambda: not up.running(), 45), up.running()


def test_with_sqlite_a_taken_port_is_told_and_another_one_used_and_sigterm_ends_everything(up: Up) -> None:
    up.environment.pop(DATABASE, None)
    up.process.kill()
    up.process.wait()
    assert comes(lambda: not up.running(), 45), up.running()
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # the killed server's connections linger
        taken.bind(("127.0.0.1", up.port))
        taken.listen()
        up.start()
        assert f"port {up.port} is in use, so the server listens on " in up.said
        assert _installed(up)["work_pools"] == ["cpu", "gpu"]
        code, _ = up.end(signal.SIGTERM)
    assert code == 143
    assert up.running() == []
