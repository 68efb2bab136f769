"""The server of a team, as deployments/README.md has it: PostgreSQL, a password, CSRF and CORS settings, a backup."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tasks.guarded_process import GuardedChild
from tasks.settings import ROOT
from tests.deployments.installation import free_port
from tests.factories.commands import run_script
from tests.factories.waiting import wait_until

from .postgres import Postgres, find_postgres, postgres

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(find_postgres() is None, reason="PostgreSQL is needed: apt-get install postgresql"),
]
AUTH = ("admin", "a-secret-of-the-tests")
ORIGIN = "https://prefect.example.org"


@dataclass(frozen=True)
class Team:
    """A server, and what a client of it has in its environment."""

    address: str
    environment: dict[str, str]
    database: Postgres

    def ask(self, method: str, path: str, **words: Any) -> httpx.Response:
        return httpx.request(method, f"{self.address}/api{path}", trust_env=False, timeout=30, **words)


@contextmanager
def serving(database: Postgres, name: str, place: Path) -> Iterator[Team]:
    """The server over one database, with the settings of deployments/README.md."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    auth = ":".join(AUTH)
    settings = {
        "HOME": str(place),
        "PREFECT_API_DATABASE_CONNECTION_URL": f"{database.url}/{name}",
        "PREFECT_SERVER_API_AUTH_STRING": auth,
        "PREFECT_SERVER_CSRF_PROTECTION_ENABLED": "true",
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": ORIGIN,
    }
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    child = GuardedChild.start(command, {**os.environ, **settings}, place / f"{name}.log")
    try:
        team = Team(address, {"PREFECT_API_URL": f"{address}/api", "PREFECT_API_AUTH_STRING": auth}, database)
        assert wait_until(lambda: _answers(team), 120), (place / f"{name}.log").read_text()
        yield team
    finally:
        child.close()


def _answers(team: Team) -> bool:
    try:
        return team.ask("GET", "/admin/version", auth=AUTH).is_success
    except httpx.TransportError:
        return False


@pytest.fixture(scope="module")
def place(session_home: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("team")


@pytest.fixture(scope="module")
def team(place: Path) -> Iterator[Team]:
    with postgres() as database:
        database.run("createdb", "prefect")
        with serving(database, "prefect", place) as team:
            yield team


def test_a_run_is_recorded_in_postgresql_and_comes_back_from_a_backup(team: Team, place: Path) -> None:
    ended = run_script("prepare", "--corpus.template", "{a|b|c} {d|e} {f|g|h}", timeout_s=120, **team.environment)
    assert ended.code == 0, ended.err
    counted = "SELECT count(*) FROM flow_run WHERE state_type = 'COMPLETED'"
    assert team.database.run("psql", "--tuples-only", "--command", counted, "prefect").strip() == "1"
    backup = place / "backup"
    team.database.run("pg_dump", "--format=custom", f"--file={backup}", "prefect")
    team.database.run("createdb", "restored")
    team.database.run("pg_restore", "--dbname=restored", "--exit-on-error", str(backup))
    with serving(team.database, "restored", place) as restored:
        found = restored.ask("POST", "/flow_runs/filter", json={}, auth=AUTH, headers=_token(restored)).json()
        assert [run["state_type"] for run in found] == ["COMPLETED"]


def test_nobody_gets_in_without_the_password(team: Team) -> None:
    assert team.ask("GET", "/admin/version").status_code == 401
    assert team.ask("GET", "/admin/version", auth=("admin", "guessed")).status_code == 401
    environment = {**team.environment, "PREFECT_API_AUTH_STRING": "admin:guessed"}
    sentence = run_script("prepare", "--corpus.template", "{a|b} {c|d}", timeout_s=120, **environment).sentence
    assert "PREFECT_API_AUTH_STRING" in sentence
    assert "guessed" not in sentence


def test_a_page_of_another_site_can_neither_read_nor_act(team: Team) -> None:
    preflight = {"Access-Control-Request-Method": "POST"}
    other = team.ask("OPTIONS", "/flow_runs/filter", headers={"Origin": "https://evil.example.org", **preflight})
    assert "access-control-allow-origin" not in other.headers
    ours = team.ask("OPTIONS", "/flow_runs/filter", headers={"Origin": ORIGIN, **preflight})
    assert ours.headers["access-control-allow-origin"] == ORIGIN
    assert team.ask("POST", "/flow_runs/filter", json={}, auth=AUTH).status_code == 403
    assert team.ask("POST", "/flow_runs/filter", json={}, auth=AUTH, headers=_token(team)).is_success


def test_the_database_can_be_upgraded_again(team: Team) -> None:
    settings = {"PREFECT_API_DATABASE_CONNECTION_URL": f"{team.database.url}/prefect"}
    command = [sys.executable, "-m", "prefect", "server", "database", "upgrade", "-y"]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **settings}, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr


def _token(team: Team) -> dict[str, str]:
    """What the UI sends with everything that it asks: a token that only a page of ours can get."""
    answer = team.ask("GET", "/csrf-token", params={"client": "a-test"}, auth=AUTH)
    return {"Prefect-Csrf-Token": answer.json()["token"], "Prefect-Csrf-Client": "a-test"}
