"""Verb flow: a plain function whose answer a person reads, as a Prefect flow with the same parameters.

What comes in: the function. What it leaves: a flow that logs the answer and shows it as an artifact.
"""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from prefect import Flow, flow

from tasks.observability.artifacts import show
from tasks.registry.answers import Answer

P = ParamSpec("P")
A = TypeVar("A", bound=Answer)


def as_flow(name: str, function: Callable[P, A]) -> Flow[P, A]:
    """The flow `name`; its artifact has the same name."""

    @flow(name=name, log_prints=True)
    @wraps(function)
    def answered(*args: P.args, **kwargs: P.kwargs) -> A:
        answer = function(*args, **kwargs)
        print(answer.text())
        show(name, answer.markdown(), answer.sentence())
        return answer

    return answered
