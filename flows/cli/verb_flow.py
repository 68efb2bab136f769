"""Makes a Prefect flow of a plain function that returns an answer for a person."""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from prefect import Flow, flow

from tasks.observability.artifacts import show
from tasks.observability.logs import start_run
from tasks.registry.answers import Answer

P = ParamSpec("P")
A = TypeVar("A", bound=Answer)


def as_flow(name: str, function: Callable[P, A]) -> Flow[P, A]:
    """The flow `name`: logs the answer and shows it as an artifact of the same name."""

    @flow(name=name, log_prints=True)
    @wraps(function)
    def answer_verb(*args: P.args, **kwargs: P.kwargs) -> A:
        start_run()
        answer = function(*args, **kwargs)
        print(answer.text())
        show(name, answer.markdown(), answer.sentence())
        return answer

    return answer_verb
