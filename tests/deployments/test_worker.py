"""The worker's command without a server; test_unattended.py tests it with one."""

import os
import signal
import subprocess
import sys
import time
from uuid import uuid4

import psutil  # type: ignore[import-untyped]
import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from deployments.run_processes import MARK, RUN
from deployments.worker import _locked_mark, end_runs, main
from tests.factories.waiting import wait_until


def test_a_second_worker_of_a_name_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with _locked_mark("one"):
        assert main(["--pool", "gpu", "--name", "one"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: a worker 'one' runs here already")
    assert "--name" in error
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.skipif(sys.platform != "linux", reason="processes are found in /proc")
def test_ending_runs_ends_their_helpers_and_the_suspended_worker_too_and_no_other_process(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The leader of a run gets SIGTERM and ends its helper; a run that ignores SIGTERM is killed."""
    sleep = "import time; time.sleep(600)"
    leader = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {sleep!r}]); {sleep}"
    stubborn = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); {sleep}"
    runs = [uuid4(), uuid4()]
    started = [
        _start(sleep, {MARK: "ours"}),
        _start(leader, {MARK: "ours", RUN: str(runs[0])}),
        _start(stubborn, {MARK: "ours", RUN: str(runs[1])}),
        _start(sleep, {MARK: "another worker's", RUN: str(uuid4())}),
    ]
    helpers = psutil.Process(started[1].pid)
    assert wait_until(helpers.children, 20)
    [helper] = helpers.children()
    assert started[2].stdout is not None
    started[2].stdout.readline()
    began = time.monotonic()
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api"}):  # no server there
        assert end_runs("ours", 3.0) == sorted(runs)
    assert time.monotonic() - began >= 3, "the stubborn one had its time"
    assert [process.wait(10) for process in started[:3]] == [-9, -15, -9]
    assert started[3].poll() is None
    assert wait_until(lambda: not helper.is_running() or helper.status() == psutil.STATUS_ZOMBIE)
    output = capsys.readouterr().out
    assert output.count("could not be rescheduled; the server will mark it Crashed") == 2
    started[3].kill()
    started[3].wait()


def _start(code: str, environment: dict[str, str]) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-c", code], env={**os.environ, **environment}, stdout=subprocess.PIPE, start_new_session=True
    )
