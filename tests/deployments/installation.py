"""A living Prefect server, asked as its UI asks it, and the processes that belong to it."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import psutil  # type: ignore[import-untyped]

from deployments.run_processes import RUN

TINY: dict[str, dict[str, Any]] = {
    "corpus": {"template": "{a|b|c} {d|e} {f|g|h}"},
    "training": {"max_steps": 1},
    "sampling": {"num_samples": 1, "max_length": 4},
}
RESUMED = "training: resumes from the checkpoint of step"


def endless_training(steps: int = 1_000_000) -> dict[str, dict[str, Any]]:
    """A training that goes on until it is ended; with another number of steps it has checkpoints of its own."""
    return {**TINY, "training": {"max_steps": steps, "save_steps": 100}}


def comes(what: Callable[[], object], limit_s: float, pause_s: float = 0.4) -> bool:
    """Whether it came to hold within the limit; the server is not asked more often than a browser asks it.

    A server on SQLite may be silent for a minute when several write at once: it is asked again.
    """
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        with contextlib.suppress(httpx.TimeoutException):
            if what():
                return True
        time.sleep(pause_s)
    return False


@dataclass
class Api:
    """A server at `address`, as a browser sees it."""

    address: str
    client: httpx.Client = field(init=False)

    def __post_init__(self) -> None:
        self.client = httpx.Client(base_url=f"{self.address}/api", trust_env=False, timeout=90)

    def ask(self, method: str, path: str, **words: Any) -> Any:
        """One request; AssertionError where it is refused. Prefect's clients repeat what gets a 503, too."""
        answer = self.client.request(method, path, **words)
        ends = time.monotonic() + 60
        while answer.status_code == httpx.codes.SERVICE_UNAVAILABLE and time.monotonic() < ends:
            time.sleep(1)
            answer = self.client.request(method, path, **words)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    def answers(self) -> bool:
        try:
            return self.client.get("/health").is_success
        except httpx.TransportError:
            return False

    def trigger(self, deployment: str, parameters: dict[str, Any], **words: Any) -> str:
        found = self.ask("GET", f"/deployments/name/{deployment}")
        run = self.ask("POST", f"/deployments/{found['id']}/create_flow_run", json={"parameters": parameters, **words})
        return str(run["id"])

    def pause(self, deployment: str) -> None:
        """Let its schedule make no runs, and delete those that it has made."""
        self.ask("POST", f"/deployments/{self.ask('GET', f'/deployments/name/{deployment}')['id']}/pause_deployment")

    def state(self, run: str) -> str:
        return str(self.ask("GET", f"/flow_runs/{run}")["state_name"])

    def states(self, run: str) -> list[str]:
        """Every state that the run has been in."""
        return [one["name"] for one in self.ask("GET", "/flow_run_states/", params={"flow_run_id": run})]

    def set_state(self, run: str, kind: str, name: str) -> str:
        """As the buttons of the UI do; returns ACCEPT where the server did it."""
        words = {"state": {"type": kind, "name": name, "message": f"{name} by the UI"}}
        return str(self.ask("POST", f"/flow_runs/{run}/set_state", json=words)["status"])

    def count(self, text: str) -> int:
        return sum(text in message for message in self.said())

    def said(self) -> list[str]:
        """The log of all runs, in order."""
        lines: list[str] = []
        while page := self.ask(
            "POST", "/logs/filter", json={"sort": "TIMESTAMP_ASC", "offset": len(lines), "limit": 200}
        ):
            lines += [line["message"] for line in page]
        return lines

    def wait_for_state(self, run: str, name: str, limit_s: float = 120) -> None:
        assert comes(lambda: self.state(run) == name, limit_s), self.states(run)

    def wait_for_words(self, text: str, times: int = 1, limit_s: float = 180) -> None:
        """Until a run's log has it so many times."""
        assert comes(lambda: self.count(text) >= times, limit_s), "\n".join(self.said()[-40:])


def last_checkpoint(data: Path, since: float = 0) -> int:
    """The step of the checkpoint that was written last; 0 where there is none, or none since that time."""
    found = (data / "checkpoints").glob(f"*/step-{'[0-9]' * 10}/manifest.json")
    written = []
    for path in found:
        with contextlib.suppress(FileNotFoundError):  # a newer one took its place just now
            written.append((path.stat().st_mtime, int(path.parent.name.removeprefix("step-"))))
    when, step = max(written, default=(0.0, 0))
    return step if when > since else 0


def processes_of(run: str) -> list[psutil.Process]:
    """Every process of a flow run."""
    return [process for process in psutil.process_iter() if environment_of(process).get(RUN) == run]


def engine_of(run: str) -> psutil.Process:
    """The process that runs the flow."""
    found = processes_of(run)
    [engine] = [process for process in found if process.ppid() not in {other.pid for other in found}]
    return engine


def processes_with(name: str, value: str) -> list[psutil.Process]:
    """Every process whose environment has it; zombies do not count."""
    return [process for process in psutil.process_iter() if environment_of(process).get(name) == value]


def environment_of(process: psutil.Process) -> dict[str, str]:
    try:
        return {} if process.status() == psutil.STATUS_ZOMBIE else dict(process.environ())
    except (psutil.Error, OSError):
        return {}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Webhook:
    """A receiver of notifications on loopback."""

    def __init__(self) -> None:
        received = self.received = []  # type: list[str]

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                received.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/a-secret-path"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
