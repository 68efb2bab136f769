"""Filters and helpers of the log of a run."""

import logging
from typing import Any

import pytest

from tasks.errors import InputError, SpinneretError, UnavailableError
from tasks.observability import logs


def raised(error: Exception) -> Exception:
    try:
        raise error
    except type(error) as caught:
        return caught


@pytest.fixture
def logger(caplog: pytest.LogCaptureFixture) -> logging.Logger:
    logger = logging.getLogger("tests.run")
    logger.filters = [logs.EngineFilter(), logs.ErrorFilter()]
    logger.setLevel(logging.INFO)
    caplog.clear()
    return logger


def log_error(logger: logging.Logger, error: Exception) -> None:
    logger.error("Task run failed with exception %r", error, exc_info=raised(error))


def log_of_prefect(logger: logging.Logger, level: int, message: str, module: str, function: str) -> None:
    """A line of Prefect's engine."""
    logger.handle(logger.makeRecord(logger.name, level, f"/prefect/{module}.py", 1, message, (), None, function))


@pytest.mark.parametrize("kind", [InputError, UnavailableError, SpinneretError])
def test_an_error_that_a_person_can_fix_is_logged_as_its_sentence(
    kind: type[Exception], logger: logging.Logger, caplog: pytest.LogCaptureFixture
) -> None:
    log_error(logger, kind("100 % of --x is wrong"))
    assert [record.getMessage() for record in caplog.records] == ["100 % of --x is wrong"]
    assert caplog.records[0].levelno == logging.ERROR
    assert "Traceback" not in caplog.text


def test_an_error_that_a_person_can_fix_is_logged_once(
    logger: logging.Logger, caplog: pytest.LogCaptureFixture
) -> None:
    error = InputError("once")
    log_error(logger, error)
    log_error(logger, error)
    log_error(logger, InputError("another"))
    assert [record.getMessage() for record in caplog.records] == ["once", "another"]


def test_a_defect_is_logged_with_its_traceback_once_for_all_the_flows_around_it(
    logger: logging.Logger, caplog: pytest.LogCaptureFixture
) -> None:
    error = ValueError("a defect")
    log_error(logger, error)
    log_error(logger, error)
    assert len(caplog.records) == 1
    assert "Task run failed" in caplog.text
    assert caplog.text.count("Traceback") == 1
    assert "ValueError: a defect" in caplog.text


def test_a_crash_is_logged_once_for_the_task_and_the_flows_around_it(
    logger: logging.Logger, caplog: pytest.LogCaptureFixture
) -> None:
    try:
        raise KeyboardInterrupt
    except KeyboardInterrupt:
        for module in ("task_engine", "flow_engine"):
            log_of_prefect(logger, logging.ERROR, "Crash detected! Execution was aborted.", module, "handle_crash")
    assert caplog.messages == ["Crash detected! Execution was aborted."]


def test_lines_without_an_error_are_logged_unchanged(logger: logging.Logger, caplog: pytest.LogCaptureFixture) -> None:
    logger.warning("%s of %s", 1, 2)
    assert [record.getMessage() for record in caplog.records] == ["1 of 2"]


PREFECT_LINES: tuple[tuple[int, str, str, str], ...] = (
    (logging.INFO, "Beginning flow run 'x' for flow 'train'", "flow_engine", "setup_run_context"),
    (logging.INFO, "Finished in state Completed()", "task_engine", "log_finished_message"),
    (logging.ERROR, "Finished in state Failed('because')", "task_engine", "log_finished_message"),
    (logging.INFO, "Task run failed: X - Retry 1/2 will start soon", "task_engine", "handle_retry"),
    (logging.ERROR, "Crash detected! Execution was aborted.", "flow_engine", "handle_crash"),
)


def test_of_prefects_lines_only_retries_errors_and_crashes_are_logged(
    logger: logging.Logger, caplog: pytest.LogCaptureFixture
) -> None:
    for line in PREFECT_LINES:
        log_of_prefect(logger, *line)
    assert [(record.levelname, record.getMessage().partition(" ")[0]) for record in caplog.records] == [
        ("WARNING", "Task"), ("ERROR", "Crash"),
    ]  # fmt: skip


def test_at_level_debug_all_of_prefects_lines_are_logged(
    logger: logging.Logger, caplog: pytest.LogCaptureFixture
) -> None:
    logger.setLevel(logging.DEBUG)
    for line in PREFECT_LINES:
        log_of_prefect(logger, *line)
    assert caplog.messages == [message for _, message, _, _ in PREFECT_LINES]


def test_a_warning_outside_of_a_run_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    logs.log_warning("tokens", "5 % are few")
    assert capsys.readouterr().out == "tokens: warning: 5 % are few\n"


def test_what_a_run_and_its_subflows_logged_is_forgotten_in_the_next_run(monkeypatch: pytest.MonkeyPatch) -> None:
    from prefect.context import FlowRunContext

    def start(parent: str | None) -> None:
        run: Any = type("Run", (), {"parent_task_run_id": parent})
        monkeypatch.setattr(FlowRunContext, "get", lambda: type("Context", (), {"flow_run": run}))
        logs.start_run()

    start(parent=None)
    assert [logs.first_in_run("corpus"), logs.first_in_run("corpus"), logs.first_in_run("tokens")] == [
        True, False, True,
    ]  # fmt: skip
    start(parent="of a subflow")
    assert not logs.first_in_run("corpus")
    start(parent=None)
    assert logs.first_in_run("corpus")
    logs._seen.set(None)
    start(parent="of a subflow that another process runs")
    assert [logs.first_in_run("corpus"), logs.first_in_run("corpus")] == [True, False]


def test_installing_twice_adds_each_filter_once() -> None:
    logs.install()
    logs.install()
    for name in ("prefect.engine", "prefect.task_runs", "prefect.flow_runs"):
        filters = logging.getLogger(name).filters
        for kind in (logs.EngineFilter, logs.ErrorFilter):
            assert sum(isinstance(found, kind) for found in filters) == 1
