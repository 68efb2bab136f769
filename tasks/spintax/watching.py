"""Calls a function again whenever the content of a file changes, until Ctrl-C.

The file is checked five times per second. Editors save in several ways: by writing in place, by emptying the file first
or by moving another over it. So a change counts when it is the same at two checks, and a file that is missing or empty
is given a second to come back.
"""

import sys
import time
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path
from typing import NoReturn

from tasks.errors import InputError

INTERVAL_S = 0.2
"""Seconds between two checks."""

PATIENT_CHECKS = 5
"""Checks for which a file that is missing or empty is taken to be in the middle of a save."""

_CLEAR = "\033[2J\033[3J\033[H"

State = tuple[int, int, int] | None
"""What a save changes: modification time, size and inode of the file; None: there is no file."""


def watch(path: str, show: Callable[[], None]) -> NoReturn:
    """Call `show` now and after each change, for ever; InputError where `path` is not a file.

    `show` is also called when the file is missing for a second, so that it can report it. A terminal is cleared before.
    """
    file = Path(path)
    if path == "-" or not _is_file(file):
        raise InputError(f"'{path[:80]}': there is no such file to watch; give the path of a template or Markdown file")
    shown: bytes | None = b"never"
    while True:
        state, digest = _settled(file)
        if digest != shown:
            if sys.stdout.isatty():
                sys.stdout.write(_CLEAR)
                sys.stdout.flush()
            show()
            shown = digest
        while _state(file) == state:
            time.sleep(INTERVAL_S)


def _settled(file: Path) -> tuple[State, bytes | None]:
    """Wait until the file no longer changes; return its state and its content's digest, None where it is missing."""
    missing = 0
    while True:
        state = _state(file)
        time.sleep(INTERVAL_S / 4)
        gone = state is None or not state[1]
        missing += gone
        if state == _state(file) and (not gone or missing > PATIENT_CHECKS * 4):
            return state, _digest(file)


def _state(file: Path) -> State:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _digest(file: Path) -> bytes | None:
    try:
        return blake2b(file.read_bytes()).digest()
    except OSError:
        return None


def _is_file(file: Path) -> bool:
    try:
        return file.is_file()
    except (OSError, ValueError):
        return False
