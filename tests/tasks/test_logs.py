import logging

import pytest

from tasks import logs
from tasks.errors import InputError, SpinneretError, UnavailableError


def raised(error: Exception) -> Exception:
    try:
        raise error
    except type(error) as caught:
        return caught


@pytest.fixture
def logger() -> logging.Logger:
    logger = logging.getLogger("tests.one-sentence")
    logger.filters = [logs.OneSentence()]
    return logger


def say(logger: logging.Logger, error: Exception) -> None:
    logger.error("Finished in state %r", "Failed", exc_info=raised(error))


@pytest.mark.parametrize("kind", [InputError, UnavailableError, SpinneretError])
def test_an_error_for_a_person_is_its_sentence(
    kind: type[Exception], logger: logging.Logger, caplog: pytest.LogCaptureFixture
) -> None:
    say(logger, kind("100 % of --x is wrong"))
    assert [record.getMessage() for record in caplog.records] == ["100 % of --x is wrong"]
    assert caplog.records[0].levelno == logging.ERROR
    assert "Traceback" not in caplog.text


def test_an_error_for_a_person_is_told_once(logger: logging.Logger, caplog: pytest.LogCaptureFixture) -> None:
    error = InputError("once")
    say(logger, error)
    say(logger, error)
    say(logger, InputError("another"))
    assert [record.getMessage() for record in caplog.records] == ["once", "another"]


def test_any_other_error_keeps_its_traceback(logger: logging.Logger, caplog: pytest.LogCaptureFixture) -> None:
    say(logger, ValueError("a defect"))
    assert "Finished in state 'Failed'" in caplog.text
    assert "Traceback" in caplog.text
    assert "ValueError: a defect" in caplog.text


def test_lines_without_an_error_stay_as_they_are(logger: logging.Logger, caplog: pytest.LogCaptureFixture) -> None:
    logger.warning("%s of %s", 1, 2)
    assert [record.getMessage() for record in caplog.records] == ["1 of 2"]


def test_installing_twice_sets_one_filter() -> None:
    logs.install()
    logs.install()
    for name in ("prefect.task_runs", "prefect.flow_runs"):
        filters = logging.getLogger(name).filters
        assert sum(isinstance(found, logs.OneSentence) for found in filters) == 1
