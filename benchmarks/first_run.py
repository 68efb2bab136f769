"""The default run as a new user sees it: fresh, then cached, then 64 samples checked against the template.

Command: `python benchmarks/first_run.py [--json] [--quick]`. It prints a table, or one JSON object with --json.
The data folder and the home folder are temporary, so Prefect creates its database as on a new machine. The installation
is not included. Seconds are wall-clock seconds. With --quick the figures say nothing about speed or quality.
"""

import json
import os
import re
import sys
import tempfile
from pathlib import Path

from judging import Target, command_line, show
from measuring import Measured, measure

SAMPLES = 64
EVALUATION = ("samples", "heldout", "comparison")
END_OF_TEXT = "<|endoftext|>"  # precedes each document: the model starts a new sentence

TARGETS: list[Target] = [("evaluation_share", "at most", 0.25)]


def main() -> None:
    """Run everything and print the figures."""
    options = command_line("The default run: fresh, cached, and 64 samples.", quick="take three steps").parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        figures = run(Path(scratch), ["--training.max-steps", "3"] if options.quick else [])
    show(figures, TARGETS, options, digits=3)


def run(scratch: Path, arguments: list[str]) -> dict[str, float]:
    """Return the seconds of the runs and of their stages, the losses, and how many of the samples are valid."""
    environment = {**os.environ, "HOME": str(scratch / "home"), "SPINNERET_DATA": str(scratch / "data")}
    environment.pop("PREFECT_API_URL", None)
    (scratch / "home").mkdir()

    def python(*words: str) -> Measured:
        return measure([sys.executable, *words], environment)

    fresh = python("flows/train.py", *arguments)
    cached = python("flows/train.py", *arguments)
    sampled = python("flows/sample.py", END_OF_TEXT, "--sampling.num-samples", str(SAMPLES))
    valid = re.search(rf"\((\d+) of {SAMPLES} are sentences", sampled.output)
    assert valid is not None, sampled.output
    [manifest] = (scratch / "data" / "weights").glob("*/manifest.json")
    facts = json.loads(manifest.read_text())["facts"]
    evaluation_s = evaluation_seconds(scratch / "data")
    return {
        "fresh_run_s": fresh.wall_s,
        "training_s": facts["seconds"],
        "evaluation_s": evaluation_s,
        "evaluation_share": evaluation_s / facts["seconds"],
        "steps": facts["steps"],
        "cached_run_s": cached.wall_s,
        "sample_64_s": sampled.wall_s,
        "loss_before": facts["loss_before"],
        "loss_after": facts["loss_after"],
        "valid_of_64": int(valid[1]),
    }


def evaluation_seconds(data: Path) -> float:
    """Return the seconds of samples and held-out losses of both models, and of their comparison."""
    manifests = [path for stage in EVALUATION for path in (data / stage).glob("*/manifest.json")]
    return float(sum(json.loads(path.read_text())["seconds"] for path in manifests))


if __name__ == "__main__":
    main()
