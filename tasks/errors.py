"""Errors that a person can fix; each message is one sentence: what, got, wanted, what to do."""


class SpinneretError(Exception):
    """An error that a person can fix: commands print its sentence without a traceback and exit with code 2."""


class InputError(SpinneretError):
    """The input is wrong: a retry would fail again, so nothing retries it."""


class UnavailableError(SpinneretError):
    """A service (object store, model hub) did not answer: a retry can help, so tasks retry it."""
