"""What has to go on when nobody looks: processes of a real installation are killed, stopped, cancelled, retried."""

import os
import signal
import sys
import time

import pytest

from deployments.automations import read_template
from tests.deployments.conftest import Up
from tests.deployments.installation import RESUMED, TINY, Webhook, comes, engine_of, last_checkpoint, processes_of

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(sys.platform != "linux", reason="processes are found in /proc"),
]
AGAIN_S = next(entry["trigger"]["within"] for entry in read_template() if entry["name"].endswith("is run again"))
CRASH = """
import os, signal, httpx
run = os.environ["PREFECT_API_URL"] + "/flow_runs/" + os.environ["PREFECT__FLOW_RUN_ID"] + "/set_state"
httpx.post(run, json={"state": {"type": "RUNNING"}}, trust_env=False).raise_for_status()
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_releases_that_are_refused_or_promoted_are_told(up: Up, webhook: Webhook) -> None:
    """A model of one step beats nobody; with the gate off it is promoted all the same."""
    for gate in ("on", "off"):
        run = up.api.trigger("train/train", {**TINY, "release": {"gate": gate}})
        up.api.wait_for_state(run, "Completed", 180)
    assert comes(lambda: any("is the champion now" in text for text in webhook.received), 15), webhook.received
    assert any("does not become the champion" in text for text in webhook.received)


def test_a_run_that_fails_is_told(up: Up, webhook: Webhook) -> None:
    run = up.api.trigger("prepare/prepare", {"corpus": {"template": "always the same"}}, name="of-one-text")
    up.api.wait_for_state(run, "Failed")
    assert comes(lambda: any("of-one-text Failed" in text for text in webhook.received), 15), webhook.received
    [told] = [text for text in webhook.received if "of-one-text" in text]
    assert "at least 2 distinct documents" in told
    assert f"{up.api.address}/runs/flow-run/{run}" in told


def test_a_run_whose_process_is_killed_goes_on_from_its_last_checkpoint(up: Up, endless: str, resumed: int) -> None:
    engine_of(endless).kill()
    up.api.wait_for_words(RESUMED, resumed + 1)
    assert up.api.states(endless)[-5:] == ["Crashed", "AwaitingRetry", "Pending", "Submitting", "Running"]


def test_a_worker_that_is_stopped_leaves_a_run_that_the_next_one_goes_on_with(
    up: Up, endless: str, resumed: int
) -> None:
    was, processes = up.worker_pid("gpu"), processes_of(endless)
    os.kill(was, signal.SIGTERM)
    assert comes(lambda: not any(process.is_running() for process in processes), 30)
    saved = last_checkpoint(up.data)
    up.api.wait_for_words(RESUMED, resumed + 1)
    assert up.api.count(f"{RESUMED} {saved:,}") == 1
    assert "AwaitingRetry" in up.api.states(endless)[-4:]
    assert up.worker_pid("gpu") != was


def test_a_worker_that_is_killed_leaves_no_training_that_nobody_looks_after(up: Up, endless: str, resumed: int) -> None:
    orphans = processes_of(endless)
    os.kill(up.worker_pid("gpu"), signal.SIGKILL)
    up.api.wait_for_words(RESUMED, resumed + 1)
    assert not any(process.is_running() for process in orphans)
    assert "the worker of the pool gpu ended with status 137 and is restarted" in up.said


def test_cancelling_ends_a_training_within_10_seconds(up: Up, endless: str) -> None:
    processes, began = processes_of(endless), time.monotonic()
    assert up.api.set_state(endless, "CANCELLING", "Cancelling") == "ACCEPT"
    assert comes(lambda: not any(process.is_running() for process in processes), 10)
    up.api.wait_for_state(endless, "Cancelled", 30)
    print(f"cancelled within {time.monotonic() - began:.1f} s")
    assert processes_of(endless) == []
    time.sleep(5)
    assert up.api.state(endless) == "Cancelled", "a crash would be run again; a cancelled run is not"


def test_retry_from_the_ui_goes_on_from_the_checkpoint(up: Up, endless: str, resumed: int) -> None:
    saved = last_checkpoint(up.data)
    assert up.api.set_state(endless, "SCHEDULED", "AwaitingRetry") == "ACCEPT"
    up.api.wait_for_words(f"{RESUMED} {saved:,}")
    assert up.api.count(RESUMED) == resumed + 1


def test_a_run_that_crashes_each_time_is_started_four_times_and_no_more(up: Up) -> None:
    run = up.api.trigger("prepare/prepare", {}, job_variables={"command": f"{sys.executable} -c '{CRASH}'"})
    assert comes(lambda: up.api.states(run).count("Running") == 4, 200), up.api.states(run)
    up.api.wait_for_state(run, "Crashed")
    time.sleep(AGAIN_S + 15)
    assert up.api.state(run) == "Crashed"


def test_a_cron_schedule_makes_runs(up: Up) -> None:
    found = up.api.ask("GET", "/deployments/name/train/nightly")
    wanted = {"deployments": {"id": {"any_": [found["id"]]}}, "flow_runs": {"state": {"type": {"any_": ["SCHEDULED"]}}}}
    up.api.ask("POST", f"/deployments/{found['id']}/resume_deployment")
    assert comes(lambda: up.api.ask("POST", "/flow_runs/count", json=wanted) >= 3, 90)
    up.stop_the_clock()
    assert up.api.ask("POST", "/flow_runs/count", json=wanted) == 0
