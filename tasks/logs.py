"""Logs: what a run's log holds besides our own lines.

What comes in: records of Prefect, Happy Transformer and transformers. What it leaves: an error for a person is one
sentence, told once and without a traceback; the libraries' warnings reach the run's log.
"""

import logging

from tasks.errors import SpinneretError

_TOLD = "_spinneret_told"


class OneSentence(logging.Filter):
    """A SpinneretError is logged as its sentence, by whoever logs it first; any other error keeps its traceback."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is shown."""
        error = record.exc_info[1] if record.exc_info else None
        if not isinstance(error, SpinneretError):
            return True
        if getattr(error, _TOLD, False):
            return False
        setattr(error, _TOLD, True)
        record.msg, record.args, record.exc_info, record.exc_text = str(error), (), None, None
        return True


def install() -> None:
    """Set the filters, once for each process; every flow module calls this when it is imported."""
    for name in ("prefect.task_runs", "prefect.flow_runs"):
        logger = logging.getLogger(name)
        if not any(isinstance(found, OneSentence) for found in logger.filters):
            logger.addFilter(OneSentence())
    logging.getLogger("happytransformer").setLevel(logging.INFO)
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # it warns when it looks at the machine's fonts at first
