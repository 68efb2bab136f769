"""Command: turns a flow into a command, from the flow's own signature; and plain functions into one with verbs.

What comes in: a flow whose parameters are groups, and the words of the command line. What it leaves: flags
(`--training.learning-rate 8e-5`), a YAML file of parameters (`--config run.yaml`, which flags override), `--help`, a
run (or, with `--plan`, what a run would take), and an exit code: 0 done, 2 for what the person can mend (one sentence,
no traceback), 130 for Ctrl-C, 143 for SIGTERM.
"""

import gc
import logging
import shutil
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from difflib import get_close_matches
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn

from flows.cli.arguments import Told, read_words
from tasks.errors import InputError, SpinneretError
from tasks.observability import logs

if TYPE_CHECKING:
    from prefect import Flow

    from tasks.registry.answers import Answer

logs.install()

BAD_INPUT = 2
_STOPPED = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}


def run(
    flow: "Flow[..., Any]",
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
    `--quiet` and `--verbose` say how much of the run's log is shown here, `--no-ui` that no UI is served.
    """
    with _ending("the same command goes on from the last stage that was done"):
        told = read_words(flow.fn, sys.argv[1:], script=flow.name)
        _check_switches(told.switches)
        if check is not None:
            check(told.parameters)
        if plan is not None and "plan" in told.switches:
            print(_make_plan(plan, told))
            sys.exit(0)
        result = _run_alone(locally, told.parameters) if locally else _run_with_api(flow, told)
        if summary is not None:
            print(summary(result))
    sys.exit(0)


def run_verb(script: str, verbs: "Mapping[str, Callable[..., Answer]]") -> NoReturn:
    """Call the verb that the first word names with the parameters of the others, without any server, and exit.

    Its answer goes to stdout, with `--json` as one object; all that is printed meanwhile goes to stderr.
    """
    with _ending("nothing is half done; give the same command again"):
        verb, words = _choose(script, verbs, sys.argv[1:])
        told = read_words(verbs[verb], words, script=script, verb=verb)
        with redirect_stdout(sys.stderr):
            answer = _run_alone(verbs[verb], told.parameters)
        width = shutil.get_terminal_size((120, 24)).columns
        print(answer.model_dump_json(indent=1) if "json" in told.switches else answer.text(width))
    sys.exit(0)


@contextmanager
def _ending(after_interrupt: str) -> Iterator[None]:
    """Errors of the block that a person can mend become one sentence and an exit code; so do Ctrl-C and SIGTERM."""
    received: list[signal.Signals] = []

    def stop(number: int, _: FrameType | None) -> None:
        received.append(signal.Signals(number))
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        sys.exit(128 + number)

    for number in _STOPPED:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, stop)
    try:
        yield
    except SpinneretError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(BAD_INPUT)
    except BaseException:  # what was under way may have made an error of its own of it: Pydantic does
        if not received:
            raise
        print(f"{_STOPPED[received[0]]}: {after_interrupt}", file=sys.stderr)
        sys.exit(128 + received[0])
    finally:
        gc.freeze()  # the interpreter's end looks through all that is left, which takes half a second


def _choose(script: str, verbs: Mapping[str, Callable[..., Any]], words: list[str]) -> tuple[str, list[str]]:
    """The verb and the words after it; without one, or with `--help`, the verbs are shown."""
    verb, rest = (words[0], words[1:]) if words else ("--help", [])
    if verb in ("--help", "-h"):
        print(f"Usage: python flows/{script}.py VERB ... (each has its own --help)\n")
        for name, function in verbs.items():
            print(f"  {name:<12} {(function.__doc__ or '').partition(chr(10))[0]}")
        sys.exit(0)
    if verb not in verbs:
        near = get_close_matches(verb, verbs, n=1)
        meant = f"; did you mean {near[0]}?" if near else "."
        raise InputError(f"{verb!r} is no verb of {script}{meant} There are: {', '.join(verbs)}.")
    return verb, rest


def _check_switches(switches: frozenset[str]) -> None:
    if "json" in switches and "plan" not in switches:
        raise InputError("--json shows a plan as JSON, and there is no --plan; give both, or leave --json out.")
    if {"quiet", "verbose"} <= switches:
        raise InputError("--quiet says less and --verbose says more; give one of them.")


def _make_plan(plan: Callable[..., str], told: Told) -> str:
    """The plan as text; whatever else is said goes to stderr."""
    with redirect_stdout(sys.stderr):
        return str(_run_alone(plan, {**told.parameters, "as_json": "json" in told.switches}))


def _run_with_api(flow: "Flow[..., Any]", told: Told) -> Any:
    """Run the flow; where to watch it goes to stderr, as its log does."""
    from flows.cli.local_server import prefect_api, watched

    quiet, ui = "quiet" in told.switches, "no_ui" not in told.switches
    logs.show(quiet=quiet, verbose="verbose" in told.switches)
    with prefect_api(ui=ui) as api:
        return (watched(flow, api) if ui and not quiet else flow)(**told.parameters)


def _run_alone(function: Callable[..., Any], parameters: dict[str, Any]) -> Any:
    logging.getLogger("happytransformer").setLevel(logging.WARNING)
    return function(**parameters)
