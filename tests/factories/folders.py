"""Small stage folders, ways to damage them, and processes that fill them."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tasks.stage.folders import MANIFEST


def fill(folder: Path) -> dict[str, Any]:
    """Write two files and return facts."""
    (folder / "below").mkdir()
    (folder / "a.txt").write_text("alpha")
    (folder / "below" / "b.bin").write_bytes(bytes(range(9)))
    return {"count": 2}


def start(*arguments: object) -> "subprocess.Popen[str]":
    """Run a Python program, given as text, with arguments."""
    return subprocess.Popen([sys.executable, "-c", *map(str, arguments)], stdout=subprocess.PIPE, text=True)


def first_line(process: "subprocess.Popen[str]") -> str:
    """Wait for the first line that a process prints."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


def names(folder: Path) -> list[str]:
    """The names in a folder, sorted."""
    return sorted(path.name for path in folder.iterdir())


def altered(folder: Path) -> None:
    (folder / "a.txt").write_text("alphA")


def missing(folder: Path) -> None:
    (folder / "below" / "b.bin").unlink()


def extra(folder: Path) -> None:
    (folder / "c.txt").write_text("")


def longer(folder: Path) -> None:
    (folder / "a.txt").write_text("alpha and more")


def manifest_cut_off(folder: Path) -> None:
    (folder / MANIFEST).write_bytes((folder / MANIFEST).read_bytes()[:-20])


def manifest_of_another_kind(folder: Path) -> None:
    (folder / MANIFEST).write_text(json.dumps(["files"]))


def no_manifest(folder: Path) -> None:
    (folder / MANIFEST).unlink()
