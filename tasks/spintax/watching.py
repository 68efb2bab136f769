"""Shows a file again whenever what is saved in it changes, until Ctrl-C.

What comes in: a path, and what shows the file. What it leaves: the showing, once at the start and once a change.
The file is looked at five times a second. Editors save in several ways: by writing in place, by emptying the file first
or by moving another over it. So it is shown when its content has changed and stood still for one look, and while there
is no file, or an empty one, a moment is waited for it to come back.
"""

import sys
import time
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path
from typing import NoReturn

from tasks.errors import InputError

INTERVAL_S = 0.2
"""Seconds between two looks."""

PATIENT_LOOKS = 5
"""Looks for which a file that is gone or empty is taken to be in the middle of a save."""

_CLEAR = "\033[2J\033[3J\033[H"

Look = tuple[int, int, int] | None
"""What a save changes: modification time, size and number of the file; None: there is none."""


def watch(path: str, show: Callable[[], None]) -> NoReturn:
    """Call `show` now and after each change, for ever; InputError where `path` is not a file.

    `show` is called too when the file is gone for a second, so that it can say so. A terminal is cleared before.
    """
    file = Path(path)
    if path == "-" or not _is_file(file):
        raise InputError(f"'{path[:80]}': there is no such file to watch; give the path of a template or Markdown file")
    shown: bytes | None = b"never"
    while True:
        look, digest = _settled(file)
        if digest != shown:
            if sys.stdout.isatty():
                sys.stdout.write(_CLEAR)
                sys.stdout.flush()
            show()
            shown = digest
        while _look(file) == look:
            time.sleep(INTERVAL_S)


def _settled(file: Path) -> tuple[Look, bytes | None]:
    """Wait until the file stands still, and return its look and the digest of its content, None where it is gone."""
    missing = 0
    while True:
        look = _look(file)
        time.sleep(INTERVAL_S / 4)
        gone = look is None or not look[1]
        missing += gone
        if look == _look(file) and (not gone or missing > PATIENT_LOOKS * 4):
            return look, _digest(file)


def _look(file: Path) -> Look:
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
