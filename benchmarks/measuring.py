"""What a command costs: CPU seconds, wall-clock seconds and peak memory. Linux and macOS.

The system counts the memory that the parent held at the fork into a child's peak. The command is therefore started by a
small Python process (about 9 MB) that does nothing else, so the size of the benchmark itself does not matter.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
"""The checkout, in which every command runs."""

_STARTER = """
import os, sys, time
report = int(sys.argv[1])
os.set_inheritable(report, False)
began = time.monotonic()
child = os.posix_spawnp(sys.argv[2], sys.argv[2:], os.environ)
_, status, usage = os.wait4(child, 0)
wall_s = time.monotonic() - began
peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
os.write(report, f"[{usage.ru_utime + usage.ru_stime}, {wall_s}, {peak}]".encode())
sys.exit(max(os.waitstatus_to_exitcode(status), -1) % 256)
"""


@dataclass(frozen=True)
class Measured:
    """The cost of one run.

    `cpu_s` is user and system time of the command and of all children that it waited for; `peak_bytes` is the resident
    memory of the largest single process among them (not their sum); `output` is the standard output.
    """

    cpu_s: float
    wall_s: float
    peak_bytes: int
    output: str

    @property
    def result(self) -> Any:
        """The JSON value on the last line of the output; libraries may print other lines before it."""
        return json.loads(self.output.splitlines()[-1])


def measure(command: list[str], environment: Mapping[str, str] | None = None) -> Measured:
    """Run `command` in the checkout and return its cost.

    Standard error is passed on. Raises RuntimeError on an exit code other than 0.
    """
    report, write = os.pipe()
    starter = [sys.executable, "-I", "-S", "-c", _STARTER, str(write), *command]
    try:
        done = subprocess.run(
            starter, stdout=subprocess.PIPE, pass_fds=(write,), cwd=ROOT, env=environment, text=True, check=False
        )
    finally:
        os.close(write)
        with os.fdopen(report, "rb") as file:
            figures = file.read()
    if done.returncode:
        raise RuntimeError(f"the command ended with exit code {done.returncode}: {' '.join(command)[:200]}")
    cpu_s, wall_s, peak_bytes = json.loads(figures)
    return Measured(cpu_s, wall_s, peak_bytes, done.stdout)


def take_turns(commands: Mapping[str, list[str]], rounds: int) -> dict[str, list[Measured]]:
    """Run all commands in turn, `rounds` times, so that a slow minute of the machine affects each of them."""
    runs: dict[str, list[Measured]] = {name: [] for name in commands}
    for _ in range(rounds):
        for name, command in commands.items():
            runs[name].append(measure(command))
    return runs
