"""Every benchmark runs with --quick; its figures are not tested there."""

import json
import subprocess
import sys
from typing import Any

import pytest

from tasks.settings import ROOT


def run(name: str) -> Any:
    done = subprocess.run(
        [sys.executable, f"benchmarks/{name}.py", "--quick", "--json"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
def test_preparing_makes_the_same_corpus_as_its_peers() -> None:
    figures = run("preparing")["figures"]
    documents = {
        "template": 48_600, "template_by_hand": 48_600, "text": 63_000, "text_by_hand": 63_000,
        "text_pandas": 63_000, "text_coreutils": 63_000,
    }  # fmt: skip
    assert {name: figures[f"{name}_documents"] for name in documents} == documents
    assert all(figures[f"{name}_work_cpu_s"] > 0 and figures[f"{name}_peak_mb"] > 5 for name in documents)


def test_enumerating_judges_its_figures() -> None:
    found = run("enumerating")
    assert found["quick"]
    assert (found["figures"]["file_lines"], found["figures"]["draw_number"]) == (10_000, 6000)
    assert {"target", "value", "met"} == set(found["targets"][0])
    assert len(found["targets"]) == 5


@pytest.mark.slow
@pytest.mark.parametrize("name", ["first_run", "tokenizing", "sampling", "training", "publishing", "orchestration"])
def test_a_benchmark_judges_its_figures(name: str) -> None:
    found = run(name)
    assert found["quick"]
    assert found["figures"]
    assert all({"target", "value", "met"} == set(target) for target in found["targets"])


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


def test_measuring_counts_the_children_and_their_peak_but_not_its_own_memory() -> None:
    done = subprocess.run([sys.executable, "-c", MEASURING], capture_output=True, text=True, check=True, cwd=ROOT)
    assert "exit code 3" in done.stdout
