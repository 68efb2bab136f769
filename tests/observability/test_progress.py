"""The progress bar of a transfer, on a terminal and in a log."""

import io
import sys
import time

import pytest

from tasks.observability.progress import transfer_bar


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown(stream: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(sys, "stderr", stream)
    with transfer_bar("fetching") as update:
        for done in range(0, 101, 25):
            time.sleep(0.12)  # the bar is drawn ten times a second at most
            update(done * 2**20, 100 * 2**20)
        update(50 * 2**20, 100 * 2**20)  # what is sent again
        update(100 * 2**20, 100 * 2**20)
    return stream.getvalue()


def test_a_person_sees_bytes_and_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    said = shown(Terminal(), monkeypatch)
    assert "fetching" in said
    assert "/100M" in said
    assert "B/s]" in said


def test_a_log_has_no_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown(io.StringIO(), monkeypatch) == ""
