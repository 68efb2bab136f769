"""The benchmark of this package runs, and what it measures with measures."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_benchmark_runs_and_judges_its_figures() -> None:
    command = [sys.executable, "benchmarks/spinning.py", "--quick", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    found = json.loads(done.stdout)
    assert found["quick"]
    assert (found["figures"]["file_lines"], found["figures"]["draw_number"]) == (10_000, 6000)
    assert {"target", "value", "met"} == set(found["targets"][0])
    assert len(found["targets"]) in {4, 5}  # without or with spintax-core


MEASURING = """
import sys
sys.path.insert(0, "benchmarks")
from measuring import measure
large = bytearray(300_000_000)
grandchild = "x = bytearray(80_000_000); sum(range(3_000_000)); print('done')"
child = "import subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[1]], check=True)"
found = measure([sys.executable, "-c", child, grandchild])
assert found.output == "done\\n", found
assert 80e6 < found.peak_bytes < 160e6, found
assert 0.02 < found.cpu_s < 1.5 * found.wall_s, found
try:
    measure([sys.executable, "-c", "raise SystemExit(3)"])
except RuntimeError as error:
    print(error)
"""


def test_measuring_counts_children_and_their_peak_but_not_its_own() -> None:
    done = subprocess.run([sys.executable, "-c", MEASURING], capture_output=True, text=True, check=True, cwd=ROOT)
    assert "exit code 3" in done.stdout
