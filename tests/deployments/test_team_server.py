"""A server for a team as in deployments/README.md: PostgreSQL, a password, CSRF and CORS settings, a backup."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tasks.settings import ROOT
from tests.deployments.installation import free_port, start_server
from tests.deployments.postgres import Postgres, find_postgres
from tests.factories.commands import run_script

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(find_postgres() is None, reason="PostgreSQL is needed: apt-get install postgresql"),
]
AUTH = ("admin", "a-secret-of-the-tests")
ORIGIN = "https://prefect.example.org"


@dataclass(frozen=True)
class Team:
    """A server, and the environment of its clients."""

    address: str
    environment: dict[str, str]
    database: Postgres

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        return httpx.request(method, f"{self.address}/api{path}", trust_env=False, timeout=30, **options)


@contextmanager
def serving(database: Postgres, name: str, folder: Path) -> Iterator[Team]:
    """A server on one database, with the settings of deployments/README.md."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    auth = ":".join(AUTH)
    settings = {
        "HOME": str(folder),
        "PREFECT_API_DATABASE_CONNECTION_URL": f"{database.url}/{name}",
        "PREFECT_SERVER_API_AUTH_STRING": auth,
        "PREFECT_SERVER_CSRF_PROTECTION_ENABLED": "true",
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": ORIGIN,
    }
    with closing(start_server(port, {**os.environ, **settings}, folder / f"{name}.log")):
        environment = {"PREFECT_API_URL": f"{address}/api", "PREFECT_API_AUTH_STRING": auth}
        yield Team(address, environment, database)


@pytest.fixture(scope="module")
def team(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    postgres.run("createdb", "prefect")
    with serving(postgres, "prefect", tmp_path_factory.mktemp("team")) as team:
        yield team


def test_a_run_is_recorded_in_postgresql_and_comes_back_from_a_backup(team: Team, tmp_path: Path) -> None:
    ended = run_script("prepare", "--corpus.template", "{a|b|c} {d|e} {f|g|h}", timeout_s=120, **team.environment)
    assert ended.code == 0, ended.err
    counted = "SELECT count(*) FROM flow_run WHERE state_type = 'COMPLETED'"
    assert team.database.run("psql", "--tuples-only", "--command", counted, "prefect").strip() == "1"
    backup = tmp_path / "backup"
    team.database.run("pg_dump", "--format=custom", f"--file={backup}", "prefect")
    team.database.run("createdb", "restored")
    team.database.run("pg_restore", "--dbname=restored", "--exit-on-error", str(backup))
    with serving(team.database, "restored", tmp_path) as restored:
        found = restored.request("POST", "/flow_runs/filter", json={}, auth=AUTH, headers=_token(restored)).json()
        assert [run["state_type"] for run in found] == ["COMPLETED"]


def test_requests_without_the_password_are_refused(team: Team) -> None:
    assert team.request("GET", "/admin/version").status_code == 401
    assert team.request("GET", "/admin/version", auth=("admin", "guessed")).status_code == 401
    environment = {**team.environment, "PREFECT_API_AUTH_STRING": "admin:guessed"}
    sentence = run_script("prepare", "--corpus.template", "{a|b} {c|d}", timeout_s=120, **environment).sentence
    assert "PREFECT_API_AUTH_STRING" in sentence
    assert "guessed" not in sentence


def test_a_page_of_another_site_can_neither_read_nor_act(team: Team) -> None:
    preflight = {"Access-Control-Request-Method": "POST"}
    other = team.request("OPTIONS", "/flow_runs/filter", headers={"Origin": "https://evil.example.org", **preflight})
    assert "access-control-allow-origin" not in other.headers
    ours = team.request("OPTIONS", "/flow_runs/filter", headers={"Origin": ORIGIN, **preflight})
    assert ours.headers["access-control-allow-origin"] == ORIGIN
    assert team.request("POST", "/flow_runs/filter", json={}, auth=AUTH).status_code == 403
    assert team.request("POST", "/flow_runs/filter", json={}, auth=AUTH, headers=_token(team)).is_success


def test_the_database_can_be_upgraded_again(team: Team) -> None:
    settings = {"PREFECT_API_DATABASE_CONNECTION_URL": f"{team.database.url}/prefect"}
    command = [sys.executable, "-m", "prefect", "server", "database", "upgrade", "-y"]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **settings}, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr


def _token(team: Team) -> dict[str, str]:
    """The CSRF token that the UI sends with every request; a page of another site cannot get one."""
    answer = team.request("GET", "/csrf-token", params={"client": "a-test"}, auth=AUTH)
    return {"Prefect-Csrf-Token": answer.json()["token"], "Prefect-Csrf-Client": "a-test"}
