"""What loading, training and sampling leave in a process: run in a child, since logging and environment are global."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tasks.dataset import Row
from tasks.settings import ROOT

SCRIPT = """
import io, json, logging, os, sys
from pathlib import Path

before = dict(os.environ)
from tasks.modeling.finetuning import finetune
from tasks.modeling.generation import generate
from tasks.modeling.happy import TunableGeneration
from tasks.modeling.recipes import PRETRAINED
from tasks.parameters import SamplingParameters, TrainingParameters
from tests.factories.rows import blocks_of

logged = io.StringIO()
another = logging.getLogger("someone.else")
another.addHandler(logging.StreamHandler(logged))
root = logging.getLogger()
before_handlers, before_level = list(root.handlers), root.level

base, folder, rows = sys.argv[1], Path(sys.argv[2]), json.loads(Path(sys.argv[3]).read_text())
generator = TunableGeneration("GPT-NEO", base)
another.warning("after loading")
generate(generator, ["you can"], SamplingParameters(num_samples=1, max_length=5))
blocks = blocks_of(rows[:-1]), blocks_of(rows[-1:])
finetune(generator, *blocks, folder, training=TrainingParameters(max_steps=2), recipe=PRETRAINED)
generate(TunableGeneration("GPT-NEO", str(folder)), ["you can"], SamplingParameters(num_samples=1, max_length=5))
another.warning("after training")

print(json.dumps({
    "root": [len(before_handlers), before_level, len(root.handlers), root.level],
    "logged": logged.getvalue(),
    "environment": sorted(name for name in os.environ if os.environ[name] != before.get(name)),
}))
"""


class Finished(dict[str, Any]):
    """What the process printed, and its folder."""

    folder: Path
    stdout: str
    stderr: str


@pytest.fixture(scope="module")
def finished(neo_folder: Path, all_rows: list[Row], tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """A process loads, samples, trains, saves and samples again."""
    folder = tmp_path_factory.mktemp("finished")
    for name in ("home", "current", "temporary", "given"):
        (folder / name).mkdir()
    (folder / "rows.json").write_text(json.dumps(all_rows))
    arguments = [str(neo_folder), str(folder / "given" / "model"), str(folder / "rows.json")]
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "XDG_", "WANDB"))}
    own = {"HOME": str(folder / "home"), "TMPDIR": str(folder / "temporary"), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *arguments], cwd=folder / "current", env=kept | own | {"OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, check=False, timeout=200,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    state = Finished(json.loads(done.stdout.splitlines()[-1]))
    state.folder, state.stdout, state.stderr = folder, done.stdout, done.stderr
    return state


def test_the_root_logger_is_unchanged(finished: Finished) -> None:
    handlers, level, handlers_after, level_after = finished["root"]
    assert (handlers_after, level_after) == (handlers, level)


def test_other_loggers_still_work(finished: Finished) -> None:
    assert finished["logged"] == "after loading\nafter training\n"


def test_wandb_is_not_configured_in_the_environment(finished: Finished) -> None:
    assert not [name for name in finished["environment"] if "WANDB" in name]


@pytest.mark.parametrize("folder", ["home", "current", "temporary"])
def test_nothing_is_left_outside_the_given_folder(finished: Finished, folder: str) -> None:
    left = [path.relative_to(finished.folder) for path in (finished.folder / folder).rglob("*") if path.is_file()]
    assert left == []


def test_the_package_prints_nothing(finished: Finished) -> None:
    assert len(finished.stdout.splitlines()) == 1
    assert finished.stderr == ""
