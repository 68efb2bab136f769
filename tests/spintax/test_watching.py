"""The command as a process: --watch, and Ctrl-C."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.settings import ROOT

DIGITS = "{0|1|2|3|4|5|6|7|8|9}"


class Watched:
    """A command that runs; what it prints is gathered as it comes."""

    def __init__(self, *arguments: str) -> None:
        command = [sys.executable, "-m", "tasks.spintax", *arguments]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT)
        self.lines: list[str] = []
        self.thread = threading.Thread(target=self._gather)
        self.thread.start()

    def _gather(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line)

    def waits_for(self, text: str, times: int = 1) -> None:
        """Fail unless `text` is printed soon, `times` times."""
        end = time.monotonic() + 20
        while "".join(self.lines).count(text) < times:
            assert time.monotonic() < end, (text, self.lines)
            time.sleep(0.02)

    def interrupt(self) -> tuple[int, str]:
        """Press Ctrl-C and return the exit code and what was written to standard error."""
        self.process.send_signal(signal.SIGINT)
        assert self.process.stderr is not None
        code = self.process.wait(20)
        self.thread.join(20)
        return code, self.process.stderr.read()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "t.spintax"
    file.write_text("{a|b}\n")
    return file


@pytest.fixture
def watched(path: Path) -> Iterator[Watched]:
    command = Watched(str(path), "--watch", "-n", "9")
    yield command
    command.process.kill()
    command.process.wait()
    command.thread.join()


def test_watch_shows_a_file_each_time_it_is_saved(path: Path, watched: Watched) -> None:
    watched.waits_for("2 derivations")
    watched.waits_for("a\n")
    path.write_text("{a|b|c}\n")
    watched.waits_for("3 derivations")
    watched.waits_for("c\n")
    os.utime(path, (1, 1))  # saved, and nothing changed
    time.sleep(0.8)
    other = path.with_suffix(".new")
    other.write_text("{d|e|f|g}\n")
    other.replace(path)
    watched.waits_for("4 derivations")
    watched.waits_for("g\n")
    assert "".join(watched.lines).count("3 derivations") == 1
    assert "\033" not in "".join(watched.lines)
    assert watched.interrupt() == (130, "")


def test_watch_waits_while_a_file_is_being_saved(path: Path, watched: Watched) -> None:
    watched.waits_for("2 derivations")
    for gone in (lambda: path.write_text(""), path.unlink):
        gone()
        time.sleep(0.4)
        path.write_text("{a|b}\n")
    path.write_text("{a|b|c}\n")
    watched.waits_for("3 derivations")
    printed = "".join(watched.lines)
    assert printed.count("2 derivations") == 1
    assert "there is no" not in printed


def test_watch_shows_an_error_and_continues(path: Path, watched: Watched) -> None:
    watched.waits_for("2 derivations")
    path.write_text("x {a|b\n")
    watched.waits_for("t.spintax:1:3: this '{' is never closed")
    watched.waits_for("x {a|b\n  ^\n")
    path.unlink()
    watched.waits_for("there is no such file")
    path.write_bytes(b"\xff")
    watched.waits_for("is not UTF-8")
    path.write_text("{a|b}\n")
    watched.waits_for("2 derivations", times=2)
    assert watched.interrupt() == (130, "")


@pytest.mark.parametrize("arguments", [[DIGITS * 9, "--all"], [DIGITS * 30, "-n", str(10**12)]])
def test_interrupted_output_ends_with_130_and_no_traceback(arguments: list[str]) -> None:
    command = Watched(*arguments)
    command.waits_for("0")
    assert command.interrupt() == (130, "")


def test_a_start_is_quick_and_light() -> None:
    begin = time.perf_counter()
    code = "import sys, tasks.spintax.__main__ as m; m.main(['{a|b}', '-n', '2']); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert time.perf_counter() - begin < 5
    assert not {"numpy", "prefect", "torch", "pandas", "pydantic"} & set(done.stdout.split())
