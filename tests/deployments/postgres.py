"""A real PostgreSQL server on loopback, with a folder of its own."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.deployments.installation import free_port
from tests.factories.waiting import wait_until

PASSWORD = "a-password-of-the-tests"


def find_postgres() -> Path | None:
    """The folder of its programs; None if it is not installed."""
    found = shutil.which("initdb")
    if found:
        return Path(found).resolve().parent
    return max(Path("/usr/lib/postgresql").glob("*/bin"), default=None)


class Postgres:
    """A running server; `url` is for Prefect."""

    def __init__(self, programs: Path, port: int) -> None:
        self.programs, self.port = programs, port
        self.url = f"postgresql+asyncpg://postgres:{PASSWORD}@127.0.0.1:{port}"

    def run(self, program: str, *arguments: str) -> str:
        """Run one of its client programs and return its output; AssertionError if it fails."""
        done = subprocess.run(
            [self.programs / program, "--host=127.0.0.1", f"--port={self.port}", "--username=postgres", *arguments],
            env={**os.environ, "PGPASSWORD": PASSWORD}, capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout


@contextmanager
def run_postgres() -> Iterator[Postgres]:
    """A running server. PostgreSQL refuses to run as root, so for root it runs as `postgres` or `nobody`."""
    programs = find_postgres()
    assert programs is not None
    user = _user()
    folder = Path(tempfile.mkdtemp(prefix="spinneret-postgres-"))
    try:
        (folder / "password").write_text(PASSWORD)
        for path in (folder, folder / "password"):
            if user:
                shutil.chown(path, user)
        _initialise(programs, folder, user)
        port = free_port()
        command: list[str | Path] = [programs / "postgres", "-D", folder / "data", "-k", folder]
        command += ["-h", "127.0.0.1", "-p", str(port)]
        with (folder / "log").open("wb") as log:
            server = subprocess.Popen(command, user=user, stdout=log, stderr=log, cwd=folder)
        try:
            ready: list[str | Path] = [programs / "pg_isready", "-h", "127.0.0.1", "-p", str(port)]
            assert wait_until(lambda: subprocess.run(ready, capture_output=True, check=False).returncode == 0, 60)
            yield Postgres(programs, port)
        finally:
            server.terminate()
            server.wait(30)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _user() -> str | None:
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in known else "nobody"


def _initialise(programs: Path, folder: Path, user: str | None) -> None:
    options = [f"--pwfile={folder / 'password'}", "--username=postgres", "--auth=scram-sha-256", "--no-sync"]
    done = subprocess.run(
        [programs / "initdb", "-D", folder / "data", *options],
        user=user, cwd=folder, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
