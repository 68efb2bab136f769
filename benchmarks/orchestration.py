"""What Prefect costs: the stages of a run as plain functions and as the flow, fresh and fully cached.

Command: `python benchmarks/orchestration.py [--json] [--quick] [--default]`. It prints a table, or one JSON object with
--json. All sides do the same work, each in a process and a data folder of its own:

* plain: the functions of flows and tasks, called one by one without Prefect's engine, server, artifacts and events.
* embedded: `python flows/train.py`, which starts a Prefect server, serves its UI and stops it at the end.
* running: the same with PREFECT_API_URL set to a server that is already running.

The work is the default run with fewer training steps. The time of the whole default run is estimated: the plain side
plus the missing steps at the speed of its own training. With --default the plain and the embedded side also do the
default run itself (several minutes). Seconds are wall-clock seconds of whole processes, the least of the rounds; a busy
machine makes them longer. The home folder has a database already; `prepare_in_an_empty_home_s` includes making it.
With --quick the figures say nothing about speed.
"""

import argparse
import gc
import json
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

from judging import Target, command_line, show
from measuring import measure

SIDES = ("plain", "embedded", "running")
STEPS = 30
TINY = ["--corpus.template", "{a|b|c} {d|e} {f|g|h} {x|y}", "--training.max-steps", "3", "--sampling.max-length", "8"]
Figures = dict[str, float]

TARGETS: list[Target] = [
    ("embedded_fresh_share_of_default_run", "at most", 0.10),
    ("default_embedded_share", "at most", 0.10),
    ("embedded_cached_s", "at most", 12),
]


def main() -> None:
    """Run all sides and print the figures."""
    parser = command_line("What Prefect costs.", quick="take a tiny template and three steps")
    parser.add_argument("--default", action="store_true", help="also do the whole default run, plain and embedded")
    parser.add_argument("--part", action="store_true", help=argparse.SUPPRESS)
    options, arguments = parser.parse_known_args()
    if options.part:
        run_plainly(arguments)
        return
    with tempfile.TemporaryDirectory() as scratch:
        figures = run(Path(scratch), quick=options.quick, default=options.default)
    show(figures, TARGETS, options, digits=3)


def run(scratch: Path, *, quick: bool, default: bool) -> Figures:
    """Run all sides in turns, then the default run."""
    arguments = TINY if quick else ["--training.max-steps", str(STEPS)]
    figures = first_starts(scratch)
    with running_server(scratch) as address:
        rounds = [one_round(scratch / str(number), arguments, address) for number in range(1 if quick else 3)]
    figures |= {name: min(one[name] for one in rounds) for name in rounds[0]}
    whole = figures["plain_fresh_s"] + missing_s(next(scratch.glob("*/plain")))
    figures |= overheads(figures, whole)
    return figures | (default_run(scratch) if default else {})


def first_starts(scratch: Path) -> Figures:
    """Return the seconds of a tiny `prepare` in an empty home folder, and again; all runs share this home folder."""
    times = [timed(["flows/prepare.py", *TINY[:2]], scratch / "first", scratch / "home") for _ in range(2)]
    return {"prepare_in_an_empty_home_s": times[0], "prepare_again_s": times[1]}


def one_round(folder: Path, arguments: list[str], address: str) -> Figures:
    """Run every side fresh, then fully cached."""
    figures: Figures = {}
    for again in ("fresh", "cached"):
        for side in SIDES:
            script = [__file__, "--part"] if side == "plain" else ["flows/train.py"]
            extra = {"PREFECT_API_URL": address} if side == "running" else {}
            figures[f"{side}_{again}_s"] = timed([*script, *arguments], folder / side, folder.parent / "home", extra)
    return figures


def overheads(figures: Figures, whole: float) -> Figures:
    """Return what the flow adds to the plain functions: seconds, ratios, and the share of the default run."""
    added = {
        f"{side}_{again}_added_s": figures[f"{side}_{again}_s"] - figures[f"plain_{again}_s"]
        for side in SIDES[1:]
        for again in ("fresh", "cached")
    }
    ratios = {
        f"{side}_{again}_times_plain": figures[f"{side}_{again}_s"] / figures[f"plain_{again}_s"]
        for side in SIDES[1:]
        for again in ("fresh", "cached")
    }
    shares = {f"{side}_fresh_share_of_default_run": added[f"{side}_fresh_added_s"] / whole for side in SIDES[1:]}
    return {**added, **ratios, "default_run_plain_estimated_s": whole, **shares}


def missing_s(data: Path) -> float:
    """Return the seconds that the remaining steps of the default run would take."""
    from tasks.parameters import TrainingParameters

    facts = json.loads(next(data.glob("weights/*/manifest.json")).read_text(encoding="utf-8"))["facts"]
    history = json.loads(next(data.glob("weights/*/history.json")).read_text(encoding="utf-8"))
    rates = [entry["tokens_per_second"] for entry in history if "tokens_per_second" in entry]
    tokens = json.loads(next(data.glob("tokens/*/manifest.json")).read_text(encoding="utf-8"))["facts"]
    in_all = TrainingParameters().num_train_epochs * tokens["train_tokens"]
    done = facts["epochs"] * tokens["train_tokens"]
    return float(max(0.0, in_all - done) / (sum(rates) / len(rates)))


def default_run(scratch: Path) -> Figures:
    """Do the default run, plain and embedded."""
    plain = timed([__file__, "--part"], scratch / "default-plain", scratch / "home")
    embedded = timed(["flows/train.py"], scratch / "default-embedded", scratch / "home")
    return {
        "default_plain_s": plain,
        "default_embedded_s": embedded,
        "default_embedded_share": (embedded - plain) / plain,
    }


def timed(command: list[str], data: Path, home: Path, extra: Mapping[str, str] | None = None) -> float:
    """Return the wall-clock seconds of a Python command; releases and results go into its data folder."""
    home.mkdir(parents=True, exist_ok=True)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")} | {
        "HOME": str(home),
        "SPINNERET_DATA": str(data),
        "PREFECT_RESULTS_LOCAL_STORAGE_PATH": str(data / "results"),
        **(extra or {}),
    }
    return measure([sys.executable, *command], environment).wall_s


@contextmanager
def running_server(scratch: Path) -> Iterator[str]:
    """Start a Prefect server with a home folder of its own; yield its address."""
    os.environ |= {"HOME": str(scratch / "server"), "SPINNERET_DATA": str(scratch / "server-data")}
    os.environ.pop("PREFECT_API_URL", None)
    from flows.cli.local_server import prefect_api

    with prefect_api() as api:
        yield api.url


def run_plainly(arguments: list[str]) -> None:
    """Do the run as plain functions: calling a task or a flow calls the function that it wraps.

    No request reaches Prefect: if one is made, the run fails instead of starting a server unnoticed.
    """
    os.environ["PREFECT_SERVER_ALLOW_EPHEMERAL_MODE"] = "false"  # before Prefect is imported
    from prefect import Flow, Task

    from flows.cli.arguments import parse_arguments
    from flows.train import summary, train

    for kind in (Flow, Task):
        kind.__call__ = lambda self, *args, **kwargs: self.fn(*args, **kwargs)  # type: ignore[method-assign]
    disable_reports(name for name in list(sys.modules) if name.startswith("tasks."))
    print(summary(train(**parse_arguments(train.fn, arguments, script="train").parameters)))
    gc.freeze()  # as the command does


def disable_reports(modules: Iterable[str]) -> None:
    """Replace the functions that create artifacts and events in all modules that imported them."""
    from prefect.events import emit_event

    from tasks.observability.artifacts import create, show

    for module in [sys.modules[name] for name in modules]:
        for name, value in list(vars(module).items()):
            if any(value is function for function in (create, show, emit_event)):
                setattr(module, name, lambda *_, **__: SimpleNamespace(id=None))


if __name__ == "__main__":
    main()
