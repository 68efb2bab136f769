"""The one cache policy: a stage runs again only when what it depends on has changed, or when its files are gone.

What comes in: a function that computes a stage's key from the task's own arguments (digests of contents, parameters
that change the output, the stage's version; never a path or a time). What it leaves: Prefect task runs in state
`Cached`, in whichever process, server or checkout asks, as long as the stage's folder is whole; a cached reference
whose files are missing or altered is a miss.
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
from pydantic import BaseModel

from tasks.errors import SpinneretError, UnavailableError
from tasks.observability.logs import STORY
from tasks.stage.references import Base, Reference

_NAMES = {"base": "base model", "heldout": "held out"}
"""Stages whose name in the log is not that of their folder."""


@dataclass
class ContentKey(CachePolicy):
    """Prefect's cache key of a stage is its content key, and is honoured only while the stage's folder is whole."""

    kind: type[Reference] | None = None
    key_of: Callable[..., str] | None = None

    def compute_key(
        self, task_ctx: TaskRunContext, inputs: dict[str, Any], flow_parameters: dict[str, Any], **kwargs: Any
    ) -> str | None:
        """The name of the result's record; None where the input is bad, which the task itself then reports."""
        assert self.kind is not None and self.key_of is not None  # noqa: PT018
        try:
            key = self.key_of(**inputs)
        except SpinneretError:
            return None
        store, record = get_result_store(), f"{self.kind.stage}-{key}"
        found = self.kind.find(key)
        if found is None or not _holds(store, record, self.kind):
            _forget(store, record)
        elif STORY.first((found.stage, found.key)):
            get_run_logger().info(cached_line(found, model_name(inputs)))
        return record


def content_key(kind: type[Reference], key_of: Callable[..., str]) -> ContentKey:
    """The policy of a stage that leaves a `kind` of reference; `key_of` takes the same arguments as the task."""
    return ContentKey(kind=kind, key_of=key_of)


def model_name(inputs: Mapping[str, Any]) -> str | None:
    """The name of the model that a stage works on; None where it works on none."""
    return getattr(inputs.get("model"), "name", None)


def cached_line(found: Reference, model: str | None) -> str:
    """The log line of a stage whose folder was there."""
    return line(found, model, "cached, ")


def line(made: Reference, model: str | None, prefix: str = "") -> str:
    """The log line of a stage: its name and counts, and the model that it is about."""
    name, described = _NAMES.get(made.stage, made.stage), made.describe()
    if model is not None:
        described = f"{model}, {described}" if isinstance(made, Base) else f"{described}, by {model}"
    return f"{name}: {prefix}{described}"


def _gives_reference(store: ResultStore, record: str) -> bool:
    """Whether there is a record that can be used: Prefect gives a dict where the class has moved."""
    return store.exists(record) and isinstance(store.read(record).result, BaseModel)


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
    """Retry condition: only something outside that did not answer is asked again; bad input never is."""
    return isinstance(state.result(raise_on_failure=False), UnavailableError)


ASKS_STORE: dict[str, Any] = {
    "cache_policy": NO_CACHE,
    "persist_result": False,
    "retries": 2,
    "retry_delay_seconds": [2, 5],
    "retry_condition_fn": retry_can_help,
}
"""Of a task that asks an object store each time: it leaves nothing to cache, and is tried again."""
