"""The API of a real Prefect server, used as the UI uses it."""

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx


def eventually(condition: Callable[[], object], limit_s: float, pause_s: float = 0.4) -> bool:
    """Whether a condition becomes true within the limit.

    A server on SQLite may not answer for a minute when several clients write at once, so timeouts are ignored.
    """
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        with contextlib.suppress(httpx.TimeoutException):
            if condition():
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

    def request(self, method: str, path: str, **options: Any) -> Any:
        """Send a request; AssertionError if it is refused. A 503 is retried, as Prefect's clients do."""
        answer = self.client.request(method, path, **options)
        deadline = time.monotonic() + 60
        while answer.status_code == httpx.codes.SERVICE_UNAVAILABLE and time.monotonic() < deadline:
            time.sleep(1)
            answer = self.client.request(method, path, **options)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    def answers(self) -> bool:
        try:
            return self.client.get("/health").is_success
        except httpx.TransportError:
            return False

    def trigger(self, deployment: str, parameters: dict[str, Any], **options: Any) -> str:
        """Create a run of a deployment; returns its id."""
        path = f"/deployments/{self.deployment(deployment)}/create_flow_run"
        run = self.request("POST", path, json={"parameters": parameters, **options})
        return str(run["id"])

    def deployment(self, name: str) -> str:
        """The id of a deployment."""
        return str(self.request("GET", f"/deployments/name/{name}")["id"])

    def pause(self, deployment: str) -> None:
        """Pause the schedule of a deployment, which also deletes the runs that it has created."""
        self.request("POST", f"/deployments/{self.deployment(deployment)}/pause_deployment")

    def state(self, run: str) -> str:
        return str(self.request("GET", f"/flow_runs/{run}")["state_name"])

    def states(self, run: str) -> list[str]:
        """The names of all states of a run, in order."""
        return [one["name"] for one in self.request("GET", "/flow_run_states/", params={"flow_run_id": run})]

    def set_state(self, run: str, kind: str, name: str) -> str:
        """Set a state as the buttons of the UI do; returns ACCEPT if the server did it."""
        body = {"state": {"type": kind, "name": name, "message": f"{name} by the UI"}}
        return str(self.request("POST", f"/flow_runs/{run}/set_state", json=body)["status"])

    def count_logs(self, text: str) -> int:
        """The number of log messages that contain `text`."""
        return sum(text in message for message in self.logs())

    def logs(self) -> list[str]:
        """The log messages of all runs, in order."""
        lines: list[str] = []
        while page := self.request(
            "POST", "/logs/filter", json={"sort": "TIMESTAMP_ASC", "offset": len(lines), "limit": 200}
        ):
            lines += [line["message"] for line in page]
        return lines

    def wait_for_state(self, run: str, name: str, limit_s: float = 120) -> None:
        assert eventually(lambda: self.state(run) == name, limit_s), self.states(run)

    def wait_for_log(self, text: str, times: int = 1, limit_s: float = 180) -> None:
        """Wait until so many log messages contain `text`."""
        assert eventually(lambda: self.count_logs(text) >= times, limit_s), "\n".join(self.logs()[-40:])
