"""After a kill -9 at any moment the alias names a whole version, and publishing again succeeds."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest

from tasks.errors import UnavailableError
from tasks.storage.embedded_server import Endpoint, embedded_store
from tasks.storage.publish import publish
from tests.storage.conftest import SMALL_PART, Line, connected
from tests.storage.faults import Fault, Held
from tests.storage.gate import gate_before
from tests.storage.invariant import assert_the_next_try_finishes, publish_and_change, version_that_is_whole
from tests.storage.seaweed import seaweed

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("short_pauses", "small_parts")]

PUBLISHERS = f"""
import json, os, sys
from pathlib import Path
from tasks.storage import manifest
from tasks.storage.client import connect_to_embedded
from tasks.storage.embedded_server import Endpoint
from tasks.storage.publish import publish
from tasks.storage.store import Store

manifest.MIN_PART = {SMALL_PART}
for line in sys.stdin:
    *endpoint, bucket, prefix, folder = json.loads(line)
    if (pid := os.fork()) == 0:
        publish(Store(connect_to_embedded(Endpoint(*endpoint)), bucket, prefix, "a store"), Path(folder), "jokes")
        os._exit(0)
    print(pid, flush=True)
    print(os.waitpid(pid, 0)[1], flush=True)
"""
"""One process per publication, forked, since the imports take a second."""

FILE = "/model.safetensors"
Server = Callable[[Path], AbstractContextManager[Endpoint]]
STEPS: dict[str, tuple[str, str, str | None]] = {
    "a file": ("PUT", FILE, None),
    "an upload in parts": ("POST", FILE, "uploads"),
    "a part": ("PUT", FILE, "partNumber"),
    "the parts put together": ("POST", FILE, "uploadId"),
    "the manifest": ("PUT", "/manifest.json", None),
    "the alias": ("PUT", "/aliases/latest.json", None),
}
AFTER = [(step, "after") for step in STEPS]
"""Also the moment before the next step."""
HALFWAY = [("a file", "halfway"), ("a part", "halfway"), ("the alias", "halfway")]


@pytest.fixture(scope="module")
def publishers() -> "Iterator[subprocess.Popen[str]]":
    command = [sys.executable, "-c", PUBLISHERS]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process


@pytest.mark.parametrize(("step", "moment"), [("a file", "before"), *AFTER, *HALFWAY])
def test_a_publisher_killed_at_any_step_leaves_the_alias_on_a_whole_version(
    *, line: Line, publishers: "subprocess.Popen[str]", release: Path, tmp_path: Path, step: str, moment: str
) -> None:
    first = publish_and_change(line.direct, release, more=size_for(step))
    line.gate.faults.append(fault := Fault(held := Held(moment), *STEPS[step]))
    job = [*dataclasses.astuple(line.through_endpoint), line.direct.bucket, line.direct.prefix, str(release)]
    assert publishers.stdin is not None
    assert publishers.stdout is not None
    print(json.dumps(job), file=publishers.stdin, flush=True)
    pid = int(publishers.stdout.readline())
    assert held.came.wait(30)
    os.kill(pid, signal.SIGKILL)
    assert os.WTERMSIG(int(publishers.stdout.readline())) == signal.SIGKILL
    held.go.set()
    assert fault.hits == 1
    assert (version_that_is_whole(line.direct) == first) == ((step, moment) != ("the alias", "after"))
    assert_the_next_try_finishes(line.direct, release, first, tmp_path / "target")


@pytest.mark.parametrize("server", [embedded_store, pytest.param(seaweed, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("step", "moment"),
    [*HALFWAY, ("the parts put together", "after"), ("the manifest", "after"), ("the alias", "after")],
)
def test_a_server_killed_during_a_publication_loses_no_release(
    *, release: Path, tmp_path: Path, server: Server, step: str, moment: str
) -> None:
    (served := tmp_path / "served").mkdir()
    with server(served) as endpoint, gate_before(endpoint.url) as gate:
        gate.faults.append(fault := Fault(held := Held(moment), *STEPS[step]))
        through = dataclasses.replace(endpoint, url=gate.url)
        with connected(endpoint) as direct, connected(through, direct.prefix) as store, ThreadPoolExecutor(1) as pool:
            first = publish_and_change(direct, release, more=size_for(step))
            published = pool.submit(publish, store, release, "jokes")
            assert held.came.wait(30)
            kill_the_server_over(served)
            held.go.set()
            with pytest.raises(UnavailableError):
                published.result(60)
    assert fault.hits == 1
    with server(served) as endpoint, connected(endpoint, direct.prefix) as store:
        assert (version_that_is_whole(store) == first) == ((step, moment) != ("the alias", "after"))
        assert_the_next_try_finishes(store, release, first, tmp_path / "target")


def size_for(step: str) -> int:
    """Bytes to add so that the file is sent in parts, if the step needs that."""
    return 0 if STEPS[step][2] is None else SMALL_PART


def kill_the_server_over(folder: Path) -> None:
    """The server's process; the command line of its supervisor contains the folder too."""
    supervisors = [child for child in psutil.Process().children() if str(folder) in " ".join(child.cmdline())]
    (server,) = supervisors[0].children()
    server.kill()
