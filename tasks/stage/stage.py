"""The `@stage` decorator: makes a function that fills a folder a Prefect task that returns a reference.

What comes in: a function that writes into a folder and returns the counts of what it wrote, and one that computes the
key from the same arguments. What it leaves: a task that returns the reference of that key, found or made, and logs one
line: `corpus: 6,000 documents ... [0.3 s]` where the folder was made, `corpus: cached, 6,000 documents ...` where it
was there. A stage that is asked for again in the same run logs nothing.
"""

import inspect
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from prefect import Task, task

from tasks.observability.logs import STORY
from tasks.stage.caching import cached_line, content_key, line, model_name, retry_can_help
from tasks.stage.folders import Facts, read_timing
from tasks.stage.references import Reference
from tasks.units import duration

P = ParamSpec("P")
R = TypeVar("R", bound=Reference)
T = TypeVar("T")

RETRIED: Mapping[str, Any] = {
    "retries": 2,
    "retry_delay_seconds": [2, 5],
    "retry_condition_fn": retry_can_help,
    "retry_jitter_factor": 0.5,
}
"""Options of a stage that reads something from outside, which may not answer."""


def stage(
    kind: type[R],
    name: str,
    key: Callable[..., str],
    *,
    around: Callable[..., AbstractContextManager[None]] = nullcontext,
    log_more: Callable[[R], None] = lambda made: None,
    **options: Any,
) -> Callable[[Callable[Concatenate[Path, P], Facts]], Task[P, R]]:
    """Make a Prefect task `name` of a function that fills the folder of a `kind` of reference.

    Args:
        kind: The reference that the task returns; it says in which folder of `data/` the stage lies.
        name: The task's name in Prefect.
        key: Computes the key of the folder. It and `around` may take fewer arguments than the function, by the same
            names.
        around: A context manager that is entered before the folder is looked for, and left when it is whole.
        log_more: Called with the reference after its line is logged.
        options: Further options of `prefect.task`.
    """

    def decorate(fill: Callable[Concatenate[Path, P], Facts]) -> Task[P, R]:
        signature = _without_folder(fill, kind)

        @wraps(fill)
        def made(*args: P.args, **kwargs: P.kwargs) -> R:
            given = _arguments(signature, *args, **kwargs)
            with _call(around, given):
                reference = _find_or_make(
                    kind, _call(key, given), lambda folder: fill(folder, *args, **kwargs), model_name(given)
                )
            log_more(reference)
            return reference

        made.__signature__ = signature  # type: ignore[attr-defined]
        made.__annotations__ = {one.name: one.annotation for one in signature.parameters.values()} | {"return": kind}
        policy = content_key(kind, lambda **inputs: _call(key, inputs))
        return task(name=name, cache_policy=policy, persist_result=True, result_serializer="json", **options)(made)

    return decorate


def _without_folder(fill: Callable[..., Facts], kind: type[Reference]) -> inspect.Signature:
    """The signature of the task: that of the function without the folder, which the task itself provides."""
    whole = inspect.signature(fill)
    return whole.replace(parameters=list(whole.parameters.values())[1:], return_annotation=kind)


def _arguments(signature: inspect.Signature, *args: Any, **kwargs: Any) -> Mapping[str, Any]:
    """All arguments of a call by name, the defaults too."""
    bound = signature.bind(*args, **kwargs)
    bound.apply_defaults()
    return bound.arguments


def _call(function: Callable[..., T], given: Mapping[str, Any]) -> T:
    """Call a function with those of the given arguments that it takes."""
    return function(**{name: given[name] for name in inspect.signature(function).parameters if name in given})


def _find_or_make(kind: type[R], key: str, fill: Callable[[Path], Facts], model: str | None) -> R:
    found = kind.find(key)
    made = found or kind.make(key, fill)
    if STORY.first((kind.stage, key)):
        print(cached_line(made, model) if found else f"{line(made, model)} [{duration(read_timing(made.folder))}]")
    return made
