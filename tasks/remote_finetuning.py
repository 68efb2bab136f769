"""Distant fine-tuning: another worker fine-tunes, and the weights come back.

What comes in: references to tokens and base model, and a deployment of the flow `finetune`, on a pool with a GPU. What
it leaves: a reference to the weights, whose folder lies on this machine. The two workers share no disk: what one needs
of the other goes through the object store at release.destination (`tasks/training/sharing.py`), under the same keys, so
weights that are there already are not trained again, whoever made them.
"""

import time
from datetime import datetime
from typing import Any, cast
from uuid import UUID

import httpx
from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterState, FlowRunFilterStateType, FlowRunFilterTags
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.deployments import run_deployment
from prefect.exceptions import ObjectNotFound
from prefect.states import Cancelling
from pydantic import BaseModel

from tasks.errors import InputError, UnavailableError
from tasks.parameters import ReleaseParameters, SamplingParameters, TrainingParameters
from tasks.stage.caching import ASKS_STORE, retry_can_help
from tasks.stage.references import ModelReference, TokenBlocks, Weights
from tasks.training.sharing import forget, obtain, obtain_model, obtain_same, share, share_model
from tasks.weights import weights_key

MOVES_FOLDERS: dict[str, Any] = {**ASKS_STORE, "retries": 3, "retry_delay_seconds": [2, 10, 30]}
"""Of a task that copies folders to a store or from it."""
POLL_S = 2.0
SILENCE_S = 600.0
"""How long the Prefect API may be away while we wait."""
_UNDER_WAY = [StateType.SCHEDULED, StateType.PENDING, StateType.RUNNING, StateType.PAUSED]


@task(
    name="finetune remotely",
    cache_policy=NO_CACHE,
    persist_result=False,
    retries=3,
    retry_delay_seconds=[10, 30, 60],
    retry_condition_fn=retry_can_help,
)
def finetune_remotely(  # noqa: PLR0913 what `finetune` takes
    deployment: str,
    *,
    tokens: TokenBlocks,
    base: ModelReference,
    training: TrainingParameters,
    release: ReleaseParameters,
    sampling: SamplingParameters,
    not_before: datetime | None,
) -> Weights:
    """Weights that are here or in the store; else those that `deployment` makes, waited for.

    A run of it that is under way for the same weights is waited for instead of another one being started: so a retry
    of this run takes up what it had begun. Whatever ends this task before (a cancellation, a Ctrl-C) cancels that run.
    """
    key = weights_key(tokens.sha256, base.sha256, training)
    if not_before is not None:
        forget(Weights, key, release, not_before)
    found = obtain(Weights, key, release)
    if found is None:
        share(tokens, release)
        share_model(base, release)
        groups: dict[str, BaseModel]
        groups = dict(tokens=tokens, base=base, training=training, release=release, sampling=sampling)
        told = {name: group.model_dump(mode="json") for name, group in groups.items()}
        _run(deployment, {**told, "not_before": not_before, "shared": True}, tag=f"weights-{key[:12]}")
        found = obtain(Weights, key, release)
    if found is None:
        raise UnavailableError(f"{deployment} ended well, but {release.destination} has no weights {key[:12]} of it")
    print(f"weights: {found.describe()}")
    return found


@task(
    name="fetch inputs",
    **MOVES_FOLDERS,
)
def fetch_inputs(tokens: TokenBlocks, base: ModelReference, release: ReleaseParameters) -> None:
    """On the worker that fine-tunes: bring tokens and base model here, unless they are."""
    obtain_same(TokenBlocks, tokens.key, tokens.sha256, release)
    obtain_model(base, release)


@task(
    name="share weights",
    **MOVES_FOLDERS,
)
def share_weights(weights: Weights, release: ReleaseParameters) -> None:
    """On the worker that fine-tuned: copy the weights to where the run that waits for them takes them from."""
    share(weights, release)


def _run(deployment: str, parameters: dict[str, Any], tag: str) -> None:
    """Let the deployment do it, or wait for its run that does so already.

    Raises:
        InputError: there is no such deployment, or its run failed or was cancelled.
        UnavailableError: its run crashed, or the API is away.
    """
    with get_client(sync_client=True) as client:
        run = _under_way(client, tag) or _start(deployment, parameters, tag)
        print(f"finetune: by {deployment}, as its run {run.name}")
        try:
            ended = _wait(client, run.id)
        except BaseException:
            _cancel(client, run)
            raise
    state = ended.state
    assert state is not None
    if state.is_completed():
        return
    told = f"the run {run.name} of {deployment} ended as {state.name}: {state.message or 'its log says why'}"
    if state.is_crashed():
        raise UnavailableError(told)
    raise InputError(told)


def _under_way(client: SyncPrefectClient, tag: str) -> FlowRun | None:
    states = FlowRunFilterState(type=FlowRunFilterStateType(any_=_UNDER_WAY))
    found = client.read_flow_runs(flow_run_filter=FlowRunFilter(tags=FlowRunFilterTags(all_=[tag]), state=states))
    return found[0] if found else None


def _start(deployment: str, parameters: dict[str, Any], tag: str) -> FlowRun:
    try:
        return cast("FlowRun", run_deployment(deployment, parameters=parameters, timeout=0, tags=[tag]))
    except ObjectNotFound as error:
        raise InputError(
            f"there is no deployment {deployment!r}; deploy deployments/prefect.yaml, or correct the name "
            "(finetune/finetune)"
        ) from error


def _wait(client: SyncPrefectClient, run: UUID) -> FlowRun:
    """The run when it has ended; an API that is away for a while is waited for."""
    heard = time.monotonic()
    while True:
        try:
            found = client.read_flow_run(run)
            heard = time.monotonic()
            if found.state is not None and found.state.is_final():
                return found
        except httpx.HTTPError as error:
            if time.monotonic() - heard > SILENCE_S:
                raise UnavailableError(f"the Prefect API has not answered for {SILENCE_S / 60:.0f} minutes") from error
        time.sleep(POLL_S)


def _cancel(client: SyncPrefectClient, run: FlowRun) -> None:
    print(f"finetune: the run {run.name} is cancelled, too")
    client.set_flow_run_state(run.id, Cancelling(message="The run that waits for it ended."))
