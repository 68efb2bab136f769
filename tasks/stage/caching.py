"""Caching and retries of tasks: a stage runs again only when what it depends on has changed or its files are gone.

The task runs of a stage end in the state `Cached`, in whichever process, server or checkout, as long as the stage's
folder is whole; a cached reference whose files are missing or altered is a miss.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from prefect import Task
from prefect.cache_policies import NO_CACHE, CachePolicy
from prefect.client.schemas.objects import State, TaskRun
from prefect.context import TaskRunContext
from prefect.exceptions import SerializationError
from prefect.filesystems import WritableFileSystem
from prefect.logging import get_run_logger
from prefect.results import ResultStore, get_result_store

from tasks.errors import SpinneretError, UnavailableError
from tasks.observability.logs import first_in_run
from tasks.stage.references import Reference


@dataclass(kw_only=True)
class ContentKey(CachePolicy):
    """Prefect's cache key of a stage is its content key, and is honoured only while the stage's folder is whole."""

    kind: type[Reference]
    key_of: Callable[..., str]
    """Takes the arguments of the task; uses digests and parameters, never a path or a time."""

    def compute_key(
        self, task_ctx: TaskRunContext, inputs: dict[str, Any], flow_parameters: dict[str, Any], **kwargs: Any
    ) -> str | None:
        """The name of the result's record; None where the input is bad, which the task itself then reports."""
        try:
            key = self.key_of(**inputs)
        except SpinneretError:
            return None
        store, record = get_result_store(), f"{self.kind.stage}-{key}"
        found = self.kind.find(key)
        if found is None or not _holds(store, record, self.kind):
            _forget(store, record)
        elif first_in_run((found.stage, found.key)):
            get_run_logger().info(found.log_line(model_name(inputs), cached=True))
        return record


def model_name(arguments: Mapping[str, Any]) -> str | None:
    """The name of the model among a stage's arguments; None where there is none."""
    return getattr(arguments.get("model"), "name", None)


def _holds(store: ResultStore, record: str, kind: type[Reference]) -> bool:
    """Whether a record gives such a reference: Prefect gives a dict where the class is no longer in its module."""
    try:
        return store.exists(record) and isinstance(store.read(record).result, kind)
    except (ValueError, SerializationError):  # emptied, or damaged
        return False


def _forget(store: ResultStore, record: str) -> None:
    """Empty a stale result record: Prefect takes a record that it cannot read for absent."""
    if store.exists(record):
        storage = cast("WritableFileSystem", store.result_storage)
        storage.write_path(record, content=b"")  # type: ignore[unused-coroutine]


def retry_can_help(task: Task[..., Any], run: TaskRun, state: State[Any]) -> bool:
    """Retry condition: a service that did not answer is asked again, bad input never is."""
    return isinstance(state.result(raise_on_failure=False), UnavailableError)


ASKS_STORE: dict[str, Any] = {
    "cache_policy": NO_CACHE,
    "persist_result": False,
    "retries": 2,
    "retry_delay_seconds": [2, 5],
    "retry_condition_fn": retry_can_help,
}
"""Options of a task that asks an object store each time: nothing is cached, and it is retried."""
