"""The `@stage` decorator: makes a function that fills a folder a Prefect task that returns a reference.

The task logs one line: `corpus: 6,000 documents ... [0.3 s]` where the folder was made, `corpus: cached, 6,000
documents ...` where it was found. A stage that is asked for again in the same run logs nothing.
"""

import inspect
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from prefect import Task, task

from tasks.observability.logs import first_in_run
from tasks.stage.caching import ContentKey, model_name, retry_can_help
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
"""Options of a stage that reads something from a service, which may not answer."""


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
        kind: The reference that the task returns; `kind.stage` is the stage's folder in `data/`.
        name: The task's name in Prefect.
        key: Computes the key of the folder. It and `around` may take fewer arguments than the function, by the same
            names.
        around: A context manager that is entered before the folder is looked for and left when it is whole.
        log_more: Called with the reference after its line is logged.
        options: Further options of `prefect.task`.
    """

    def decorate(fill: Callable[Concatenate[Path, P], Facts]) -> Task[P, R]:
        signature = _without_folder(fill, kind)

        @wraps(fill)
        def find_or_make(*args: P.args, **kwargs: P.kwargs) -> R:
            bound = signature.bind(*args, **kwargs)
            bound.apply_defaults()
            with _call(around, bound.arguments):
                folder_key = _call(key, bound.arguments)
                found = kind.find(folder_key)
                made = found or kind.make(folder_key, lambda folder: fill(folder, *args, **kwargs))
            if first_in_run((kind.stage, folder_key)):
                took = "" if found else f" [{duration(read_timing(made.folder))}]"
                print(made.log_line(model_name(bound.arguments), cached=found is not None) + took)
            log_more(made)
            return made

        find_or_make.__signature__ = signature  # type: ignore[attr-defined]
        annotations = {one.name: one.annotation for one in signature.parameters.values()}
        find_or_make.__annotations__ = {**annotations, "return": kind}
        policy = ContentKey(kind=kind, key_of=lambda **inputs: _call(key, inputs))
        make_task = task(name=name, cache_policy=policy, persist_result=True, result_serializer="json", **options)
        return make_task(find_or_make)

    return decorate


def _without_folder(fill: Callable[..., Facts], kind: type[Reference]) -> inspect.Signature:
    """The signature of the task: that of the function without the folder, which the task itself provides."""
    whole = inspect.signature(fill)
    return whole.replace(parameters=list(whole.parameters.values())[1:], return_annotation=kind)


def _call(function: Callable[..., T], arguments: Mapping[str, Any]) -> T:
    """Call a function with those of the arguments that it takes."""
    return function(**{name: arguments[name] for name in inspect.signature(function).parameters if name in arguments})
