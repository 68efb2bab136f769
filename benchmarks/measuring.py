"""What a command costs: CPU seconds, wall-clock seconds, peak memory. Linux and macOS.

What comes in: a command. What it leaves: its figures and its standard output. A sibling of the benchmarks: they run as
scripts (`python benchmarks/enumerating.py`), so they say `from measuring import measure`.

A child's peak memory as the system counts it begins with what its parent held when it was started. So the command is
started by a Python of some 9 MB that does nothing else, and how large the benchmark itself has grown does not matter.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

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
    """What one run cost.

    `cpu_s` is user and system time of the command and of all children it waited for; `peak_bytes` the resident memory
    of the largest single process among them (not their sum); `output` what stood on standard output.
    """

    cpu_s: float
    wall_s: float
    peak_bytes: int
    output: str


def measure(command: list[str], cwd: Path | None = None, environment: Mapping[str, str] | None = None) -> Measured:
    """Run `command` to its end and return what it cost; `wall_s` runs from its start to its end.

    Standard error is passed on. RuntimeError where it ends with another exit code than 0.
    """
    report, write = os.pipe()
    starter = [sys.executable, "-I", "-S", "-c", _STARTER, str(write), *command]
    try:
        done = subprocess.run(
            starter, stdout=subprocess.PIPE, pass_fds=(write,), cwd=cwd, env=environment, text=True, check=False
        )
    finally:
        os.close(write)
        with os.fdopen(report, "rb") as file:
            figures = file.read()
    if done.returncode:
        raise RuntimeError(f"the command ended with exit code {done.returncode}: {' '.join(command)[:200]}")
    cpu_s, wall_s, peak_bytes = json.loads(figures)
    return Measured(cpu_s, wall_s, peak_bytes, done.stdout)


def take_turns(commands: Mapping[str, list[str]], rounds: int, cwd: Path | None = None) -> dict[str, list[Measured]]:
    """Run all commands in turn, `rounds` times over, so that a slow minute of the machine falls on each of them."""
    runs: dict[str, list[Measured]] = {name: [] for name in commands}
    for _ in range(rounds):
        for name, command in commands.items():
            runs[name].append(measure(command, cwd))
    return runs
