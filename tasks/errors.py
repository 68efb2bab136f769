"""The errors that a person can act on.

What comes in: nothing; this module imports nothing, so every room may import it.
What it leaves: three exception classes. Each message is one sentence (what, got, wanted, what to do), and commands
print it without a traceback and end with exit code 2.
"""


class SpinneretError(Exception):
    """A sentence for the person who can act; commands print it and exit with 2."""


class InputError(SpinneretError):
    """What was asked for cannot be done: trying again gives the same answer, so nothing retries it."""


class UnavailableError(SpinneretError):
    """Something outside (object store, model hub) did not answer: trying again can help, so tasks retry it."""
