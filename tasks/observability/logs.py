"""Logs: the log of a run reads as a story, in a terminal, in a worker's log and in the Prefect UI.

Each stage logs one line, with its counts and the time that it took. An error that a person can fix is logged as one
sentence, once and without a traceback. Prefect's own lines ("Finished in state ...") and the libraries' chatter are
left out. At Prefect's level DEBUG (`--verbose`, or PREFECT_LOGGING_LEVEL=DEBUG for a worker) everything is logged.
"""

import logging
import os
import sys
from collections.abc import Hashable
from contextvars import ContextVar

from tasks.errors import SpinneretError

_RUN_LOGGERS = ("prefect.engine", "prefect.flow_runs", "prefect.task_runs")
"""The loggers of Prefect's engine and of what our tasks print."""
_ENGINE_MODULES = ("flow_engine", "task_engine")
_LIBRARY_LEVELS = {"happytransformer": logging.WARNING, "matplotlib": logging.ERROR}
"""Libraries that log too much; matplotlib warns when it first looks for the machine's fonts."""
_LOGGED, _ENDS_RUN = "_spinneret_logged", "spinneret_ends_run"

_seen: ContextVar[set[Hashable] | None] = ContextVar("seen", default=None)
"""What the current run has logged; its subflows share it."""


class EngineFilter(logging.Filter):
    """Of the lines of Prefect's engine only errors, crashes and retries pass; a retry becomes a warning."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is logged."""
        if record.module not in _ENGINE_MODULES or _logs_everything(record):
            return True
        if record.funcName == "handle_retry" and record.levelno == logging.INFO:
            record.levelno, record.levelname = logging.WARNING, logging.getLevelName(logging.WARNING)
        return record.levelno >= logging.WARNING and record.funcName != "log_finished_message"


class ErrorFilter(logging.Filter):
    """Each error is logged once, at its first log call: a SpinneretError as its sentence, any other unchanged."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is logged."""
        error = record.exc_info[1] if record.exc_info else _crash(record)
        if error is None or _logs_everything(record):
            return True
        if getattr(error, _LOGGED, False):
            return False
        setattr(error, _LOGGED, True)
        setattr(record, _ENDS_RUN, record.module in _ENGINE_MODULES)
        if isinstance(error, SpinneretError):
            record.msg, record.args, record.exc_info, record.exc_text = str(error), (), None, None
        return True


_FILTERS = (EngineFilter(), ErrorFilter())


def install() -> None:
    """Set the filters and the levels of the libraries; calling it again changes nothing."""
    for name in _RUN_LOGGERS:
        for one in _FILTERS:
            logging.getLogger(name).addFilter(one)
    for name, level in _LIBRARY_LEVELS.items():
        logging.getLogger(name).setLevel(level)


def start_run() -> None:
    """Set up the log of a flow run. Every flow calls this first, since a worker runs flows without our commands."""
    from prefect.context import FlowRunContext

    install()
    context = FlowRunContext.get()
    run = None if context is None else context.flow_run
    if run is None or run.parent_task_run_id is None or _seen.get() is None:  # None: the parent is in another process
        _seen.set(set())


def first_in_run(what: Hashable) -> bool:
    """Whether this is the first call with `what` in this run; outside of a run always True."""
    seen = _seen.get()
    if seen is None:
        return True
    new = what not in seen
    seen.add(what)
    return new


def log_warning(noun: str, sentence: str) -> None:
    """Log a warning in the current run; outside of a run it is printed."""
    from prefect.exceptions import MissingContextError
    from prefect.logging import get_run_logger

    try:
        get_run_logger().warning(f"{noun}: {sentence}")
    except MissingContextError:
        print(f"{noun}: warning: {sentence}")


def configure_terminal(*, quiet: bool = False, verbose: bool = False) -> None:
    """Set what a command shows of the log: time and message of each line, or from `quiet` on only warnings.

    The error that ends the run is left out, since the command prints it. `verbose` shows everything that Prefect and
    the libraries log, with tracebacks, here and in the UI.
    """
    if verbose:
        os.environ.setdefault("TRANSFORMERS_VERBOSITY", "info")
        for name in ("", *_LIBRARY_LEVELS):
            logging.getLogger(name).setLevel(logging.INFO)
        for name in _RUN_LOGGERS:
            logging.getLogger(name).setLevel(logging.DEBUG)
        return
    if quiet:
        os.environ["TQDM_DISABLE"] = "1"
    for handler in logging.getLogger().handlers:
        handler.setFormatter(_Line(datefmt="%H:%M:%S"))
        handler.addFilter(lambda record: not getattr(record, _ENDS_RUN, False))
        if quiet:
            handler.setLevel(logging.WARNING)


class _Line(logging.Formatter):
    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 logging's name
        level = f"{record.levelname}: " if record.levelno >= logging.WARNING else ""
        return f"{self.formatTime(record, self.datefmt)} {level}{record.getMessage()}"

    def usesTime(self) -> bool:  # noqa: N802 logging's name
        return False


def _logs_everything(record: logging.LogRecord) -> bool:
    return logging.getLogger(record.name).isEnabledFor(logging.DEBUG)


def _crash(record: logging.LogRecord) -> BaseException | None:
    """What ended a run from outside: Prefect logs it for the task and for each flow around it."""
    crashed = record.module in _ENGINE_MODULES and record.funcName == "handle_crash" and record.levelno == logging.ERROR
    return sys.exc_info()[1] if crashed else None
