"""Commands as a person runs them, without a server: what they leave, also after a signal."""

import importlib.util
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from flows.cli import local_server
from tasks.settings import ROOT, settings
from tests.factories.commands import run_script
from tests.factories.train_runs import TEMPLATE, TINY
from tests.factories.waiting import wait_until

WHOLE = f"*/step-{'[0-9]' * 10}/manifest.json"
"""Glob pattern of the manifests of whole checkpoints."""
ENDS_AT_ONCE_S = 5.0
"""On a busy machine; otherwise it takes less than 3."""
ENDLESS = ["--training.max-steps", "1000000"]


class Command:
    """A command of flows/ in a session of its own, whose processes can be found by their environment."""

    def __init__(self, folder: Path, script: str, *words: object) -> None:
        self.mark = f"SPINNERET_TEST_MARK={folder}"
        self.out = folder / "out"
        env = {**os.environ, "SPINNERET_TEST_MARK": str(folder)}
        with self.out.open("wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, f"flows/{script}.py", *map(str, words)],
                cwd=ROOT, env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
                start_new_session=True,
            )  # fmt: skip

    @property
    def output(self) -> str:
        return self.out.read_text(errors="replace")

    def wait_for(self, wanted: str, limit_s: float = 120) -> None:
        assert wait_until(lambda: wanted in self.output or self.process.poll() is not None, limit_s), self.output
        assert wanted in self.output, self.output

    def running(self) -> list[str]:
        """The command lines of this command and of all that it started and that still runs."""
        found = []
        for folder in Path("/proc").iterdir():
            if folder.name.isdigit():
                found += [line for line in [command_line(folder, self.mark)] if line]
        return found


def command_line(folder: Path, mark: str) -> str:
    try:
        if mark.encode() in (folder / "environ").read_bytes().split(b"\0"):
            return (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        pass
    return ""


def recorded_states() -> dict[str, list[str]]:
    """The state types of each flow's runs in Prefect's database."""
    path = Path(os.environ["HOME"]) / ".prefect" / "prefect.db"
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as database:
        rows = database.execute("SELECT flow.name, state_type FROM flow_run JOIN flow ON flow.id = flow_run.flow_id")
        states: dict[str, list[str]] = {}
        for name, state in rows.fetchall():
            states.setdefault(name, []).append(state)
    return states


def check_ui(command: Command) -> None:
    """A browser can open the page whose URL the command prints, and its API has the run."""
    found = re.search(
        r"^watch it at (http://127\.0\.0\.1:\d+)(/v2/runs/flow-run/(\S+)), as long as", command.output, re.M
    )
    assert found, command.output
    site, page, run = found.groups()
    browser = {"Accept": "text/html"}
    with httpx.Client(base_url=site, trust_env=False, follow_redirects=True) as client:
        shown = client.get(page, headers=browser)
        assert (shown.status_code, shown.headers["content-type"]) == (200, "text/html; charset=utf-8")
        [script] = re.findall(r'<script type="module"[^>]* src="([^"]+)"', shown.text)
        assert client.get(script).headers["content-type"].startswith("text/javascript")
        assert client.get("/", headers=browser).status_code == 200
        ui = client.get("/ui-settings").json()
        assert (ui["api_url"], ui["default_ui"]) == (f"{site}/api", "v2")
        assert client.get(f"{ui['api_url']}/flow_runs/{run}").json()["state_name"] == "Running"


def check_no_ui(command: Command) -> None:
    """The server of a command answers and serves no UI."""
    assert "watch it" not in command.output
    port = next(found[1] for line in command.running() if (found := re.search(r"uvicorn.* --port (\d+)", line)))
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
        assert client.get("/api/health").status_code == 200
        assert client.get("/v2/", headers={"Accept": "text/html"}).status_code == 404


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Command]]:
    """Start commands; they are killed at the end of the test."""
    started: list[Command] = []

    def begin(script: str, *words: object) -> Command:
        command = Command(tmp_path, script, "--release.destination", tmp_path / "store", *words)
        started.append(command)
        return command

    yield begin
    for command in started:
        command.process.kill()
        command.process.wait()


pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are found in /proc")


@pytest.mark.slow
def test_a_run_leaves_no_process_and_the_same_run_again_is_cached(
    start: Callable[..., Command], tmp_path: Path
) -> None:
    first = start("train", *TINY, "--training.max-steps", "3")
    assert first.process.wait(200) == 0, first.output
    assert first.running() == []
    assert "Traceback" not in first.output
    assert "release        " in first.output
    assert recorded_states() == {
        "train": ["COMPLETED"],
        "prepare": ["COMPLETED"],
        "finetune": ["COMPLETED"],
        "evaluate": ["COMPLETED"],
    }
    second = start("train", *TINY, "--training.max-steps", "3")
    assert second.process.wait(200) == 0, second.output
    assert second.running() == []
    assert second.output.count(": cached, ") == 10, "each stage, samples and held-out losses of two models"
    assert "cached, nothing uploaded" in second.output


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["ctrl-c", "terminated"]
)
def test_a_run_that_is_stopped_during_training_ends_soon_and_is_recorded_as_ended(
    number: signal.Signals, code: int, start: Callable[..., Command]
) -> None:
    command = start("train", *TINY, *ENDLESS)
    command.wait_for("training: step 0 of")
    check_ui(command)
    began = time.monotonic()
    command.process.send_signal(number)
    assert command.process.wait(60) == code, command.output
    assert time.monotonic() - began < 10
    assert wait_until(lambda: not command.running(), 2), command.running()
    assert list((settings().data / "weights").iterdir()) == []
    [saved] = (settings().data / "checkpoints").glob("*/step-*")
    again = start("train", *TINY, *ENDLESS, "--no-ui")
    again.wait_for(f"training: resumes from the checkpoint of step {int(saved.name.removeprefix('step-')):,}")
    check_no_ui(again)
    again.process.send_signal(number)
    assert again.process.wait(60) == code, again.output
    states = recorded_states()
    assert states.pop("prepare") == ["COMPLETED", "COMPLETED"]
    assert set(states) == {"train", "finetune"}
    assert not {"RUNNING", "PENDING"} & {state for ended in states.values() for state in ended}, states
    assert "Traceback" not in command.output
    assert command.output.count("the same command resumes after the last finished stage\n") == 1
    assert "Crash detected" not in command.output


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["logs/prefect-server-", "watch it at"], ids=["server-starts", "stages"])
def test_ctrl_c_before_the_training_ends_at_once(moment: str, start: Callable[..., Command]) -> None:
    command = start("train", *TINY, *ENDLESS)
    logs = settings().data / "logs"
    reached = (lambda: list(logs.glob("*"))) if moment.startswith("logs") else (lambda: moment in command.output)
    assert wait_until(lambda: bool(reached()), 120), command.output
    began = time.monotonic()
    command.process.send_signal(signal.SIGINT)
    assert command.process.wait(60) == 130, command.output
    assert time.monotonic() - began < ENDS_AT_ONCE_S
    assert command.running() == []
    assert command.output.count("interrupted: ") == 1
    assert "Traceback" not in command.output
    if moment == "watch it at":
        assert not {"RUNNING", "PENDING"} & {state for ended in recorded_states().values() for state in ended}


@pytest.mark.slow
def test_kill_9_leaves_no_process_and_the_next_run_resumes_from_the_last_checkpoint(
    start: Callable[..., Command],
) -> None:
    many = ["--training.max-steps", "150", "--training.save-steps", "1"]
    command = start("train", *TINY, *many)
    checkpoints = settings().data / "checkpoints"
    assert wait_until(lambda: len(list(checkpoints.glob(WHOLE))) == 2, 120), command.output
    command.process.kill()
    command.process.wait()
    assert wait_until(lambda: not command.running(), 8), command.running()
    last = max(int(path.parent.name.removeprefix("step-")) for path in checkpoints.glob(WHOLE))
    again = start("train", *TINY, *many)
    assert again.process.wait(250) == 0, again.output
    assert f"training: resumes from the checkpoint of step {last:,}\n" in again.output
    assert again.output.count(": cached, ") == 5, "corpus, base model, tokens, report, and samples before"
    assert not checkpoints.exists() or list(checkpoints.iterdir()) == []


@pytest.mark.slow
def test_bad_input_in_the_middle_of_a_run_is_one_error_and_exit_code_2(start: Callable[..., Command]) -> None:
    command = start("train", *TINY, "--tokens.block-size", "4096")
    assert command.process.wait(200) == 2
    sentence = (
        "--tokens.block-size 4,096 is more than the 512 positions of the model; use 512 or less, or leave it out."
    )
    assert command.output.endswith(f"\nerror: {sentence}\n")
    assert command.output.count(sentence) == 1, "in the whole log"
    assert "Traceback" not in command.output
    assert command.running() == []


@pytest.mark.slow
def test_two_runs_at_once_on_one_data_folder_both_complete(tmp_path: Path) -> None:
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
    both = [Command(tmp_path / name, "prepare", "--corpus.template", TEMPLATE) for name in ("one", "other")]
    assert [command.process.wait(200) for command in both] == [0, 0], [command.output for command in both]
    assert [command.running() for command in both] == [[], []]
    assert recorded_states() == {"prepare": ["COMPLETED", "COMPLETED"]}


@pytest.mark.parametrize("script", ["train", "prepare"])
def test_a_server_that_does_not_answer_is_reported_at_once(script: str) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{probe.getsockname()[1]}/api"
        began = time.monotonic()
        ended = run_script(script, PREFECT_API_URL=address)
        assert time.monotonic() - began < 30
    assert re.fullmatch(
        rf"error: The Prefect server at PREFECT_API_URL={re.escape(address)} does not answer \(.*\); start it, .*\n",
        ended.sentence,
    )
    assert not settings().data.exists()


@pytest.mark.slow
def test_a_configured_server_is_used_and_none_is_started(server: str) -> None:
    ended = run_script("prepare", "--corpus.template", "always the same", PREFECT_API_URL=server)
    assert "at least 2 distinct documents" in ended.sentence
    assert "watch it at" in ended.err
    assert "as long as the run lasts" not in ended.err
    assert not (settings().data / "logs").exists()


def test_a_data_folder_that_cannot_be_made_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    ended = run_script("prepare", SPINNERET_DATA=str(tmp_path / "file" / "data"))
    assert "set SPINNERET_DATA to a folder that can." in ended.sentence


def test_a_template_that_does_not_parse_is_reported_before_any_server_is_started() -> None:
    assert "corpus.template:1:1" in run_script("prepare", "--corpus.template", "{a").sentence
    assert not settings().data.exists()


@pytest.mark.parametrize("module", local_server._IMPORTED_MEANWHILE)
def test_every_module_that_is_imported_while_the_server_starts_exists(module: str) -> None:
    assert importlib.util.find_spec(module) is not None


def test_server_logs_are_removed_except_the_newest_and_those_in_use(tmp_path: Path) -> None:
    dead = [tmp_path / f"prefect-server-{99_999_900 + number}.log" for number in range(8)]
    kept = [tmp_path / f"prefect-server-{os.getpid()}.log", tmp_path / "other.log"]
    for age, path in enumerate([*dead, *kept]):
        path.touch()
        os.utime(path, (10**9 - age, 10**9 - age))
    local_server._clear_logs(tmp_path)
    assert set(tmp_path.iterdir()) == {*dead[: local_server.KEPT_LOGS], *kept}


def test_a_command_cannot_be_quiet_and_verbose() -> None:
    assert "--quiet shows less and --verbose shows more" in run_script("prepare", "--quiet", "--verbose").sentence
    assert not settings().data.exists()
