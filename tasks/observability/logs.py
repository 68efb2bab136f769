"""Logs: one run's log reads as a story, in a terminal, in a worker's log and in the Prefect UI.

What comes in: records of Prefect and of the libraries. What it leaves: each stage's line once, with what it left and
the time that it took; warnings as warnings; an error for a person as one sentence, told once and without a traceback.
Prefect's own lines ("Finished in state ...") and the libraries' chatter are left out; where Prefect's level is DEBUG
(`--verbose`, or PREFECT_LOGGING_LEVEL=DEBUG for a worker) everything is shown as it comes.
"""

import logging
import os
import sys
from collections.abc import Hashable

from tasks.errors import SpinneretError

_RUNS = ("prefect.engine", "prefect.flow_runs", "prefect.task_runs")
"""The loggers of Prefect's engine and of what our tasks print."""
_ENGINE = ("flow_engine", "task_engine")
"""Prefect's modules whose own lines are left out."""
_LIBRARIES = {"happytransformer": logging.WARNING, "matplotlib": logging.ERROR}
"""Libraries that say too much; matplotlib warns when it looks at the machine's fonts at first."""
_TOLD, _ENDS_RUN = "_spinneret_told", "spinneret_ends_run"
_WARNING = ": warning: "


class Story(logging.Filter):
    """Of Prefect's engine only retries, errors and crashes are left; a line of ours that warns is a warning."""

    def __init__(self) -> None:
        super().__init__()
        self._told: set[Hashable] = set()

    def first(self, what: Hashable) -> bool:
        """Whether `what` is asked for the first time in this run."""
        new = what not in self._told
        self._told.add(what)
        return new

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is shown."""
        message = record.getMessage()
        if message.startswith("Beginning flow run"):
            self._told.clear()
        if _shows_everything(record):
            return True
        if record.module in _ENGINE:
            return _is_kept(record, message)
        if record.levelno < logging.WARNING and _WARNING in message.partition("\n")[0]:
            _set_level(record, logging.WARNING)
            record.msg, record.args = message.replace(_WARNING, ": ", 1), ()
        return True


class OneSentence(logging.Filter):
    """An error is logged once, by whoever logs it first; a SpinneretError as its sentence, any other as it comes."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is shown."""
        error = record.exc_info[1] if record.exc_info else _crash(record)
        if error is None or _shows_everything(record):
            return True
        if getattr(error, _TOLD, False):
            return False
        setattr(error, _TOLD, True)
        setattr(record, _ENDS_RUN, record.module in _ENGINE)
        if isinstance(error, SpinneretError):
            record.msg, record.args, record.exc_info, record.exc_text = str(error), (), None, None
        return True


STORY = Story()


def install() -> None:
    """Set the filters, once for each process; every flow module calls this when it is imported."""
    for name in _RUNS:
        logger = logging.getLogger(name)
        if STORY not in logger.filters:
            logger.addFilter(STORY)
            logger.addFilter(OneSentence())
    for name, level in _LIBRARIES.items():
        logging.getLogger(name).setLevel(level)


def show(*, quiet: bool = False, verbose: bool = False) -> None:
    """For a command, which itself tells the error that ends it: time and message, and from `quiet` on only warnings.

    `verbose`: all that Prefect and the libraries say, with their tracebacks. Nothing of it changes the log in the UI,
    but that `verbose` adds to it.
    """
    if verbose:
        os.environ.setdefault("TRANSFORMERS_VERBOSITY", "info")
        for name in ("", *_LIBRARIES):
            logging.getLogger(name).setLevel(logging.INFO)
        for name in _RUNS:
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


def _shows_everything(record: logging.LogRecord) -> bool:
    return logging.getLogger(record.name).isEnabledFor(logging.DEBUG)


def _is_kept(record: logging.LogRecord, message: str) -> bool:
    """Whether a line of Prefect's engine is for a person; a task that is tried again is a warning."""
    if " - Retry " in message:
        _set_level(record, logging.WARNING)
    return record.levelno >= logging.WARNING and not message.startswith("Finished in state")


def _crash(record: logging.LogRecord) -> BaseException | None:
    """What ended a run from outside: Prefect tells it for the task and for each flow around it."""
    crashed = record.module in _ENGINE and record.getMessage().startswith("Crash detected!")
    return sys.exc_info()[1] if crashed else None


def _set_level(record: logging.LogRecord, level: int) -> None:
    record.levelno, record.levelname = level, logging.getLevelName(level)
