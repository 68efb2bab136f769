"""A signal is delivered at the end of the block, and an ignored one stays ignored."""

import signal

import pytest

from tasks.modeling.stopping import delayed_stop


def test_ctrl_c_is_delivered_at_the_end() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with pytest.raises(KeyboardInterrupt), delayed_stop() as stop:  # noqa: PT012
        signal.raise_signal(signal.SIGINT)
        assert stop.requested


def test_an_ignored_ctrl_c_has_no_effect() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with delayed_stop() as stop:
        signal.raise_signal(signal.SIGINT)
        assert not stop.requested
