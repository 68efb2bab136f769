"""The benchmarks run, at a small size; what they measure there is no claim."""

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
    assert {name: row["documents"] for name, row in figures.items()} == {
        "seed": 48_600, "seed_by_hand": 48_600, "own_text": 63_000, "own_text_by_hand": 63_000,
        "own_text_pandas": 63_000, "own_text_coreutils": 63_000,
    }  # fmt: skip
    assert all(row["cpu_s"] > 0 and row["peak_mb"] > 5 for row in figures.values())
