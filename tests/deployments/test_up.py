"""`make up`: one installation, complete after each start and gone after each stop. The last file that uses it."""

import signal
import socket
import sys
from pathlib import Path

import pytest
import yaml

from deployments.automations import read_template
from deployments.installation import DEPLOYMENTS
from deployments.up import DATABASE
from tests.deployments.api import eventually
from tests.deployments.conftest import Up
from tests.deployments.installation import RESUMED

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(sys.platform != "linux", reason="processes are found in /proc"),
]


def _installed(up: Up) -> dict[str, list[str]]:
    """The names of all work pools, deployments, automations and blocks."""
    kinds = {"work_pools": "name", "deployments": "name", "automations": "name", "block_documents": "name"}
    found = {
        kind: [one[name] for one in up.api.request("POST", f"/{kind}/filter", json={})] for kind, name in kinds.items()
    }
    return {kind: sorted(names) for kind, names in found.items()}


def test_everything_is_installed_once(up: Up) -> None:
    installed = _installed(up)
    expected = yaml.safe_load(DEPLOYMENTS.read_text())["deployments"]
    assert installed["work_pools"] == ["cpu", "gpu"]
    assert installed["deployments"] == sorted(one["name"] for one in expected)
    assert installed["automations"] == sorted(one["name"] for one in read_template())
    assert up.api.request("GET", "/work_pools/gpu")["concurrency_limit"] == 1


def test_a_second_one_says_where_the_first_one_is(up: Up, tmp_path: Path) -> None:
    second = up.run(tmp_path / "log")
    assert second.wait(30) == 2
    output = (tmp_path / "log").read_text()
    assert output.startswith(f"error: it is up already: {up.api.address}, process {up.process.pid} ")
    assert output.count("\n") == 1


def test_the_url_of_the_webhook_cannot_be_read(up: Up) -> None:
    assert "a-secret-path" not in str(up.api.request("POST", "/block_documents/filter", json={}))
    assert "a-secret-path" not in str(up.api.request("POST", "/automations/filter", json={}))
    assert "a-secret-path" not in up.output


def test_ctrl_c_ends_everything_and_the_next_start_resumes_the_training(up: Up, endless: str, resumed: int) -> None:
    before = _installed(up)
    code, took = up.stop(signal.SIGINT)
    assert code == 130, up.output
    assert up.running() == []
    assert took < 30, "a run is killed after 20 s"
    up.start()
    up.api.wait_for_log(RESUMED, resumed + 1)
    assert up.api.states(endless)[-1] == "Running"
    assert _installed(up) == before


def test_kill_9_leaves_no_process(up: Up, endless: str) -> None:
    assert up.api.state(endless) == "Running"
    up.process.kill()
    up.process.wait()
    assert eventually(lambda: not up.running(), 45), up.running()


def test_with_sqlite_a_port_in_use_is_replaced_and_sigterm_ends_everything(up: Up) -> None:
    up.environment.pop(DATABASE, None)
    up.kill()
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections of the killed server linger
        taken.bind(("127.0.0.1", up.port))
        taken.listen()
        up.start()
        assert f"port {up.port} is in use, so the server listens on " in up.output
        assert _installed(up)["work_pools"] == ["cpu", "gpu"]
        code, _ = up.stop(signal.SIGTERM)
    assert code == 143
    assert up.running() == []
