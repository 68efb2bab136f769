"""The default run as a new user sees it: fresh, then cached, then 64 samples checked against the template.

Command: `python benchmarks/first_run.py [--json]`. It uses a data folder and a home of its own under a temporary
folder, so Prefect makes its database anew, as on a fresh machine. The install is not part of it. Seconds are wall-clock
seconds.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SAMPLES = 64
EVALUATION = ("samples", "heldout", "comparison")
"""Stages; together they should take less than a quarter of the training."""
END_OF_TEXT = "<|endoftext|>"  # what stands before each document: the model starts a sentence of its own


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description="The default run: fresh, cached, and 64 samples.")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of lines")
    as_json = parser.parse_args().json
    with tempfile.TemporaryDirectory() as scratch:
        figures = measure(Path(scratch))
    if as_json:
        print(json.dumps(figures))
        return
    for name, value in figures.items():
        print(f"{name:<24}{value:>12,.3f}" if isinstance(value, float) else f"{name:<24}{value:>12,}")


def measure(scratch: Path) -> dict[str, float | int]:
    """The figures: seconds of the runs, of the training in it, losses, and valid samples of 64."""
    environment = {**os.environ, "HOME": str(scratch / "home"), "SPINNERET_DATA": str(scratch / "data")}
    environment.pop("PREFECT_API_URL", None)
    (scratch / "home").mkdir()
    fresh_s, _ = timed(["flows/train.py"], environment)
    cached_s, _ = timed(["flows/train.py"], environment)
    sample = ["flows/sample.py", END_OF_TEXT, "--sampling.num-samples", str(SAMPLES)]
    sample_s, written = timed(sample, environment)
    manifest = next((scratch / "data" / "weights").glob("*/manifest.json"))
    facts = json.loads(manifest.read_text())["facts"]
    evaluation_s = evaluation_seconds(scratch / "data")
    valid = re.search(r"\((\d+) of 64 are sentences", written)
    assert valid is not None, written
    return {
        "fresh_run_s": fresh_s,
        "training_s": facts["seconds"],
        "evaluation_s": evaluation_s,
        "evaluation_share": evaluation_s / facts["seconds"],
        "steps": facts["steps"],
        "cached_run_s": cached_s,
        "sample_64_s": sample_s,
        "loss_before": facts["loss_before"],
        "loss_after": facts["loss_after"],
        "valid_of_64": int(valid[1]),
    }


def evaluation_seconds(data: Path) -> float:
    """Seconds of all stages of the evaluation: samples and held-out losses of both models, and their comparison."""
    manifests = [path for stage in EVALUATION for path in (data / stage).glob("*/manifest.json")]
    return float(sum(json.loads(path.read_text())["seconds"] for path in manifests))


def timed(command: list[str], environment: dict[str, str]) -> tuple[float, str]:
    """Wall-clock seconds and standard output of a command of the project."""
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, *command], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True
    )
    return time.monotonic() - began, done.stdout


if __name__ == "__main__":
    main()
