"""Claims about the progress bar of a transfer."""

import io
import sys
import time

import pytest

from tasks.observability.transfer_progress import transfer_bar


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown(stream: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(sys, "stderr", stream)
    with transfer_bar("fetching") as tell:
        for done in range(0, 101, 25):
            time.sleep(0.12)  # the bar is drawn ten times a second at most
            tell(done * 2**20, 100 * 2**20)
        tell(50 * 2**20, 100 * 2**20)  # what is sent again
        tell(100 * 2**20, 100 * 2**20)
    return stream.getvalue()


def test_a_person_sees_bytes_and_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    said = shown(Terminal(), monkeypatch)
    assert "fetching" in said
    assert "/100M" in said
    assert "B/s]" in said


def test_a_log_has_no_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown(io.StringIO(), monkeypatch) == ""
