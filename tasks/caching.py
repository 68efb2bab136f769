"""The one cache policy: a stage runs again only when what it depends on has changed, or when its files are gone.

What comes in: a function that computes a stage's key from the task's own arguments (digests of contents, parameters
that change the output, the stage's version; never a path or a time). What it leaves: Prefect task runs in state
`Cached`, in whichever process, server or checkout asks, as long as the stage's folder is whole; a cached reference
whose files are missing or altered is a miss.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from prefect import Task
from prefect.cache_policies import NO_CACHE, CachePolicy
from prefect.client.schemas.objects import State, TaskRun
from prefect.context import TaskRunContext
from prefect.filesystems import WritableFileSystem
from prefect.logging import get_run_logger
from prefect.results import ResultStore, get_result_store

from tasks.errors import SpinneretError, UnavailableError
from tasks.logs import STORY
from tasks.references import Reference
from tasks.stage_log import cached_line


@dataclass
class ContentKey(CachePolicy):
    """Prefect's cache key of a stage is its content key, and is honoured only while the stage's folder is whole."""

    kind: type[Reference] | None = None
    key_of: Callable[..., str | None] | None = None

    def compute_key(
        self, task_ctx: TaskRunContext, inputs: dict[str, Any], flow_parameters: dict[str, Any], **kwargs: Any
    ) -> str | None:
        """The key, or None where there is nothing to cache (or bad input, which the task itself then reports)."""
        assert self.kind is not None and self.key_of is not None  # noqa: PT018
        try:
            key = self.key_of(**inputs)
        except SpinneretError:
            return None
        if key is None:
            return None
        record = f"{self.kind.stage}-{key}"
        found = self.kind.find(key)
        if found is None:
            _forget(get_result_store(), record)
        elif get_result_store().exists(record):
            self._tell(found, getattr(inputs.get("model"), "name", None))
        return record

    @staticmethod
    def _tell(found: Reference, model: str | None) -> None:
        if STORY.first((found.stage, found.key)):
            get_run_logger().info(cached_line(found, model))


def content_key(kind: type[Reference], key_of: Callable[..., str | None]) -> ContentKey:
    """The policy of a stage that leaves a `kind` of reference; `key_of` takes the same arguments as the task."""
    return ContentKey(kind=kind, key_of=key_of)


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
