import logging

import pytest

from tasks.errors import InputError, SpinneretError, UnavailableError
from tasks.observability import logs


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


def test_a_defect_keeps_its_traceback_and_is_told_once_for_all_the_flows_around_it(
    logger: logging.Logger, caplog: pytest.LogCaptureFixture
) -> None:
    error = ValueError("a defect")
    say(logger, error)
    say(logger, error)
    assert caplog.text.count("Traceback") == 1


def test_a_crash_is_told_once_for_the_task_and_the_flows_around_it(
    logger: logging.Logger, caplog: pytest.LogCaptureFixture
) -> None:
    try:
        raise KeyboardInterrupt
    except KeyboardInterrupt:
        of_prefect(logger, logging.ERROR, "Crash detected! Execution was aborted.", "task_engine")
        of_prefect(logger, logging.ERROR, "Crash detected! Execution was aborted.", "flow_engine")
    assert caplog.messages == ["Crash detected! Execution was aborted."]


def test_any_other_error_keeps_its_traceback(logger: logging.Logger, caplog: pytest.LogCaptureFixture) -> None:
    say(logger, ValueError("a defect"))
    assert "Finished in state 'Failed'" in caplog.text
    assert "Traceback" in caplog.text
    assert "ValueError: a defect" in caplog.text


def test_lines_without_an_error_stay_as_they_are(logger: logging.Logger, caplog: pytest.LogCaptureFixture) -> None:
    logger.warning("%s of %s", 1, 2)
    assert [record.getMessage() for record in caplog.records] == ["1 of 2"]


def of_prefect(logger: logging.Logger, level: int, message: str, module: str) -> None:
    """A line of Prefect's engine."""
    logger.handle(logger.makeRecord(logger.name, level, f"/prefect/{module}.py", 1, message, (), None))


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> logging.Logger:
    logger = logging.getLogger("tests.story")
    logger.filters = [logs.Story()]
    logger.setLevel(logging.INFO)
    caplog.clear()
    return logger


def test_of_prefects_engine_only_retries_errors_and_crashes_are_left(
    told: logging.Logger, caplog: pytest.LogCaptureFixture
) -> None:
    of_prefect(told, logging.INFO, "Beginning flow run 'x' for flow 'train'", "flow_engine")
    of_prefect(told, logging.INFO, "Finished in state Completed()", "task_engine")
    of_prefect(told, logging.ERROR, "Finished in state Failed('because')", "task_engine")
    of_prefect(told, logging.INFO, "Task run failed with exception: X - Retry 1/2 will start soon", "task_engine")
    of_prefect(told, logging.ERROR, "Crash detected! Execution was aborted.", "flow_engine")
    assert [(record.levelname, record.getMessage().partition(" ")[0]) for record in caplog.records] == [
        ("WARNING", "Task"), ("ERROR", "Crash"),
    ]  # fmt: skip


def test_at_level_debug_prefects_lines_are_shown(told: logging.Logger, caplog: pytest.LogCaptureFixture) -> None:
    told.setLevel(logging.DEBUG)
    of_prefect(told, logging.INFO, "Finished in state Completed()", "task_engine")
    assert caplog.messages == ["Finished in state Completed()"]


def test_a_printed_warning_is_a_warning(told: logging.Logger, caplog: pytest.LogCaptureFixture) -> None:
    told.info("tokens: warning: %d %% are few", 5)
    told.info("report: in full\nwarning: in the table")
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", "tokens: 5 % are few"), ("INFO", "report: in full\nwarning: in the table"),
    ]  # fmt: skip


def test_each_run_is_a_story_of_its_own(told: logging.Logger) -> None:
    [story] = told.filters
    assert isinstance(story, logs.Story)
    assert [story.first("corpus"), story.first("corpus"), story.first("tokens")] == [True, False, True]
    of_prefect(told, logging.INFO, "Beginning subflow run 'x' for flow 'prepare'", "flow_engine")
    assert not story.first("corpus")
    of_prefect(told, logging.INFO, "Beginning flow run 'y' for flow 'train'", "flow_engine")
    assert story.first("corpus")


def test_installing_twice_sets_one_filter() -> None:
    logs.install()
    logs.install()
    for name in ("prefect.engine", "prefect.task_runs", "prefect.flow_runs"):
        filters = logging.getLogger(name).filters
        assert filters.count(logs.STORY) == 1
        assert sum(isinstance(found, logs.OneSentence) for found in filters) == 1
