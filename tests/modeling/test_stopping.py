"""A signal waits for the end of the block, and one that is ignored stays ignored."""

import signal

import pytest

from tasks.modeling.stopping import delayed_stop


def test_ctrl_c_is_delivered_at_the_end() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with pytest.raises(KeyboardInterrupt), delayed_stop() as stop:  # noqa: PT012
        signal.raise_signal(signal.SIGINT)
        assert stop.requested


def test_ctrl_c_that_is_ignored_ends_nothing() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with delayed_stop() as stop:
        signal.raise_signal(signal.SIGINT)
        assert not stop.requested
