"""Runs a flow, or a verb of `release`, as a command.

Exit codes: 0 done, 2 an error that the person can fix (one sentence, no traceback), 130 Ctrl-C, 143 SIGTERM.
"""

import gc
import shutil
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from difflib import get_close_matches
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn

from flows.cli.arguments import Arguments, parse_arguments
from tasks.errors import InputError, SpinneretError
from tasks.modeling import set_thread_defaults
from tasks.observability import logs

if TYPE_CHECKING:
    from prefect import Flow

    from tasks.registry.answers import Answer

BAD_INPUT = 2
_STOPPED = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}


def run(
    flow: "Flow[..., Any]",
    *,
    summary: Callable[[Any], str] | None = None,
    check: Callable[[dict[str, Any]], None] | None = None,
    without_server: Callable[..., Any] | None = None,
    plan: Callable[..., str] | None = None,
) -> NoReturn:
    """Run `flow` with the parameters on the command line and exit.

    Args:
        flow: The flow; its parameters are groups.
        summary: Makes the text that is printed at the end of a run, on stdout.
        check: Called with the parameters before anything is started; raises InputError where they are wrong.
        without_server: Called instead of the flow, with the same parameters: it needs no Prefect server.
        plan: Called instead of the flow where `--plan` is given, with the same parameters and `as_json`; its text goes
            to stdout, the log to stderr.
    """
    logs.install()
    set_thread_defaults()
    with _ending("the same command resumes after the last finished stage"):
        arguments = parse_arguments(flow.fn, sys.argv[1:], script=flow.name)
        _check_switches(arguments.switches)
        if check is not None:
            check(arguments.parameters)
        if plan is not None and "plan" in arguments.switches:
            with redirect_stdout(sys.stderr):
                planned = plan(**arguments.parameters, as_json="json" in arguments.switches)
            print(planned)
            sys.exit(0)
        result = without_server(**arguments.parameters) if without_server else _run_with_api(flow, arguments)
        if summary is not None:
            print(summary(result))
    sys.exit(0)


def run_verb(script: str, verbs: "Mapping[str, Callable[..., Answer]]") -> NoReturn:
    """Call the verb that the first word of the command line names, and exit.

    Its answer goes to stdout, with `--json` as one object; the log goes to stderr.
    """
    logs.install()
    with _ending("nothing was left half done; run the same command again"):
        verb, words = _choose(script, verbs, sys.argv[1:])
        arguments = parse_arguments(verbs[verb], words, script=script, verb=verb)
        with redirect_stdout(sys.stderr):
            answer = verbs[verb](**arguments.parameters)
        width = shutil.get_terminal_size((120, 24)).columns
        print(answer.model_dump_json(indent=1) if "json" in arguments.switches else answer.text(width))
    sys.exit(0)


@contextmanager
def _ending(after_interrupt: str) -> Iterator[None]:
    """Errors of the block that a person can fix become one sentence and an exit code; so do Ctrl-C and SIGTERM."""
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
    except BaseException:  # a library may have raised another exception from it: Pydantic does
        if not received:
            raise
        print(f"{_STOPPED[received[0]]}: {after_interrupt}", file=sys.stderr)
        sys.exit(128 + received[0])
    finally:
        gc.freeze()  # else the interpreter's last collection takes half a second


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
        raise InputError(f"{verb!r} is not a verb of {script}{meant} There are: {', '.join(verbs)}.")
    return verb, rest


def _check_switches(switches: frozenset[str]) -> None:
    if "json" in switches and "plan" not in switches:
        raise InputError("--json shows a plan as JSON, and there is no --plan; give both, or leave out --json.")
    if {"quiet", "verbose"} <= switches:
        raise InputError("--quiet shows less and --verbose shows more; give one of them.")


def _run_with_api(flow: "Flow[..., Any]", arguments: Arguments) -> Any:
    """Run the flow; its URL in the UI goes to stderr, as its log does."""
    from flows.cli.local_server import prefect_api, with_url_printed

    quiet, ui = "quiet" in arguments.switches, "no_ui" not in arguments.switches
    logs.configure_terminal(quiet=quiet, verbose="verbose" in arguments.switches)
    with prefect_api(ui=ui) as api:
        return (with_url_printed(flow, api) if ui and not quiet else flow)(**arguments.parameters)
