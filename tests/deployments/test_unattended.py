"""Unattended operation: processes of a real installation are killed, stopped, cancelled and retried."""

import os
import signal
import sys
import time

import pytest

from tests.deployments.api import eventually
from tests.deployments.conftest import RUN_AGAIN_S, Up
from tests.deployments.installation import RESUMED, TINY, last_checkpoint
from tests.deployments.processes import engine_of, processes_of
from tests.deployments.webhook import Webhook

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(sys.platform != "linux", reason="processes are found in /proc"),
]
CRASH = """
import os, signal, httpx
run = os.environ["PREFECT_API_URL"] + "/flow_runs/" + os.environ["PREFECT__FLOW_RUN_ID"] + "/set_state"
httpx.post(run, json={"state": {"type": "RUNNING"}}, trust_env=False).raise_for_status()
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_webhook_gets_refused_and_promoted_releases(up: Up, webhook: Webhook) -> None:
    """A model of one step does not pass the gate; with the gate off it is promoted."""
    for gate in ("on", "off"):
        run = up.api.trigger("train/train", {**TINY, "release": {"gate": gate}})
        up.api.wait_for_state(run, "Completed", 180)
    assert eventually(lambda: any("is the champion now" in text for text in webhook.received), 15), webhook.received
    assert any("does not become the champion" in text for text in webhook.received)


def test_the_webhook_gets_failed_runs(up: Up, webhook: Webhook) -> None:
    run = up.api.trigger("prepare/prepare", {"corpus": {"template": "always the same"}}, name="of-one-text")
    up.api.wait_for_state(run, "Failed")
    assert eventually(lambda: any("of-one-text Failed" in text for text in webhook.received), 15), webhook.received
    [message] = [text for text in webhook.received if "of-one-text" in text]
    assert "at least 2 distinct documents" in message
    assert f"{up.api.address}/runs/flow-run/{run}" in message


def test_a_run_whose_process_is_killed_resumes_from_its_last_checkpoint(up: Up, endless: str, resumed: int) -> None:
    engine_of(endless).kill()
    up.api.wait_for_log(RESUMED, resumed + 1)
    assert up.api.states(endless)[-5:] == ["Crashed", "AwaitingRetry", "Pending", "Submitting", "Running"]


def test_the_next_worker_resumes_the_run_of_a_worker_that_was_stopped(up: Up, endless: str, resumed: int) -> None:
    before, processes = up.worker_pid("gpu"), processes_of(endless)
    os.kill(before, signal.SIGTERM)
    assert eventually(lambda: not any(process.is_running() for process in processes), 30)
    saved = last_checkpoint(up.data)
    up.api.wait_for_log(RESUMED, resumed + 1)
    assert up.api.count_logs(f"{RESUMED} {saved:,}") == 1
    assert "AwaitingRetry" in up.api.states(endless)[-4:]
    assert up.worker_pid("gpu") != before


def test_the_training_of_a_killed_worker_is_ended_and_resumed(up: Up, endless: str, resumed: int) -> None:
    orphans = processes_of(endless)
    os.kill(up.worker_pid("gpu"), signal.SIGKILL)
    up.api.wait_for_log(RESUMED, resumed + 1)
    assert not any(process.is_running() for process in orphans)
    assert "the worker of the pool gpu ended with status 137 and is restarted" in up.output


def test_cancelling_ends_a_training_within_10_seconds(up: Up, endless: str) -> None:
    processes, began = processes_of(endless), time.monotonic()
    assert up.api.set_state(endless, "CANCELLING", "Cancelling") == "ACCEPT"
    assert eventually(lambda: not any(process.is_running() for process in processes), 10)
    up.api.wait_for_state(endless, "Cancelled", 30)
    print(f"cancelled within {time.monotonic() - began:.1f} s")
    assert processes_of(endless) == []
    time.sleep(5)
    assert up.api.state(endless) == "Cancelled", "a crash would be run again; a cancelled run is not"


def test_retry_from_the_ui_resumes_from_the_checkpoint(up: Up, endless: str, resumed: int) -> None:
    saved = last_checkpoint(up.data)
    assert up.api.set_state(endless, "SCHEDULED", "AwaitingRetry") == "ACCEPT"
    up.api.wait_for_log(f"{RESUMED} {saved:,}")
    assert up.api.count_logs(RESUMED) == resumed + 1


def test_a_run_that_crashes_each_time_is_started_four_times_at_most(up: Up) -> None:
    run = up.api.trigger("prepare/prepare", {}, job_variables={"command": f"{sys.executable} -c '{CRASH}'"})
    assert eventually(lambda: up.api.states(run).count("Running") == 4, 200), up.api.states(run)
    up.api.wait_for_state(run, "Crashed")
    time.sleep(RUN_AGAIN_S + 10)
    assert up.api.state(run) == "Crashed"


def test_the_schedule_creates_runs(up: Up) -> None:
    nightly = up.api.deployment("train/nightly")
    scheduled = {"deployments": {"id": {"any_": [nightly]}}, "flow_runs": {"state": {"type": {"any_": ["SCHEDULED"]}}}}
    up.api.request("POST", f"/deployments/{nightly}/resume_deployment")
    assert eventually(lambda: up.api.request("POST", "/flow_runs/count", json=scheduled) >= 3, 90)
    up.api.pause("train/nightly")
    assert up.api.request("POST", "/flow_runs/count", json=scheduled) == 0
