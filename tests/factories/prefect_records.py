"""What the Prefect server has recorded of runs."""

import time
from typing import Any
from uuid import UUID

from prefect import State
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    ArtifactFilterKey,
    FlowRunFilter,
    FlowRunFilterId,
)
from prefect.client.schemas.objects import Artifact, FlowRun, TaskRun


def run_of(state: State[Any]) -> UUID:
    """The flow run that ended in this state."""
    run = state.state_details.flow_run_id
    assert run is not None
    return run


def read_flow_run(run: UUID) -> FlowRun:
    with get_client(sync_client=True) as client:
        return client.read_flow_run(run)


def read_task_runs(run: UUID, limit_s: float = 30) -> list[TaskRun]:
    """The task runs of a flow run and of its subflows, as soon as the server knows how all of them ended."""
    ends = time.monotonic() + limit_s
    while True:
        found = _read(run)
        done = found and all(one.state is not None and one.state.is_final() for one in found)
        if done or time.monotonic() > ends:
            return found
        time.sleep(0.2)


def states(run: UUID) -> dict[str, list[str]]:
    """How the runs of each task ended: name → states, in order of their start."""
    ended: dict[str, list[str]] = {}
    for one in sorted(read_task_runs(run), key=lambda one: one.name.rpartition("-")[0]):
        ended.setdefault(one.name.rpartition("-")[0], []).append(str(one.state and one.state.name))
    return ended


def read_artifacts(run: UUID, key: str) -> list[Artifact]:
    """The artifacts of one key on the page of a flow run."""
    with get_client(sync_client=True) as client:
        return client.read_artifacts(
            artifact_filter=ArtifactFilter(
                key=ArtifactFilterKey(any_=[key]),
                flow_run_id=ArtifactFilterFlowRunId(any_=[run]),
            )
        )


def _read(run: UUID) -> list[TaskRun]:
    found: list[TaskRun] = []
    with get_client(sync_client=True) as client:
        direct = client.read_task_runs(flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[run])))
    for one in direct:
        child = one.state.state_details.child_flow_run_id if one.state else None
        found += [one] if child is None else _read(child)
    return found
