"""Command: turns a flow into a command, from the flow's own signature.

What comes in: a flow whose parameters are groups, and the words of the command line. What it leaves: flags
(`--training.learning-rate 8e-5`), a YAML file of parameters (`--config run.yaml`, which flags override), `--help`, a
run (or, with `--plan`, what a run would take), and an exit code: 0 done, 2 for what the person can mend (one sentence,
no traceback), 130 for Ctrl-C, 143 for SIGTERM.
"""

import logging
import signal
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from typing import Any, NoReturn

from prefect import Flow

from flows.command_line import Told, read_words
from tasks import logs
from tasks.errors import InputError, SpinneretError

logs.install()

BAD_INPUT = 2


def run(
    flow: Flow[..., Any],
    *,
    summary: Callable[[Any], str] | None = None,
    check: Callable[[dict[str, Any]], None] | None = None,
    locally: Callable[..., Any] | None = None,
    plan: Callable[..., str] | None = None,
) -> NoReturn:
    """Run `flow` with the parameters on the command line and exit.

    `check` gets the parameters before anything is started; `summary` makes the text that ends a run, on stdout;
    `locally` is called instead of the flow, without any server, with the same parameters; so is `plan` where `--plan`
    is given, with `as_json` beside them, and its text goes to stdout, while all that is printed meanwhile does not.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        told = read_words(flow, sys.argv[1:])
        if check is not None:
            check(told.parameters)
        if plan is not None and _wants_plan(told):
            print(_make_plan(plan, told))
            sys.exit(0)
        result = _run_alone(locally, told.parameters) if locally else _run_with_api(flow, told.parameters)
        if summary is not None:
            print(summary(result))
    except SpinneretError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(BAD_INPUT)
    except KeyboardInterrupt:
        print("interrupted: the same command goes on from the last stage that was done", file=sys.stderr)
        sys.exit(128 + signal.SIGINT)
    sys.exit(0)


def _wants_plan(told: Told) -> bool:
    if "json" in told.switches and "plan" not in told.switches:
        raise InputError("--json shows a plan as JSON, and there is no --plan; give both, or leave --json out.")
    return "plan" in told.switches


def _make_plan(plan: Callable[..., str], told: Told) -> str:
    """The plan as text; whatever else is said goes to stderr."""
    with redirect_stdout(sys.stderr):
        return str(_run_alone(plan, {**told.parameters, "as_json": "json" in told.switches}))


def _run_with_api(flow: Flow[..., Any], parameters: dict[str, Any]) -> Any:
    from flows.local_server import prefect_api

    with prefect_api():
        return flow(**parameters)


def _run_alone(function: Callable[..., Any], parameters: dict[str, Any]) -> Any:
    logging.getLogger("happytransformer").setLevel(logging.WARNING)
    return function(**parameters)
