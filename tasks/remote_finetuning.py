"""Remote fine-tuning: another worker trains, and the weights are fetched.

What comes in: references to tokens and base model, and a deployment of the flow `finetune`, on a pool with a GPU. What
it leaves: a reference to the weights, whose folder is on this machine. The two workers share no disk: data travels
through the object store at release.destination (`tasks/training/sharing.py`), under the same keys, so weights that
exist there are not trained again, whichever machine made them.
"""

import time
from datetime import datetime
from typing import Any, cast
from uuid import UUID

import httpx
from prefect import task
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterState, FlowRunFilterStateType, FlowRunFilterTags
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.deployments import run_deployment
from prefect.exceptions import ObjectNotFound
from prefect.states import Cancelling

from tasks.errors import InputError, UnavailableError
from tasks.parameters import ReleaseParameters, SamplingParameters, TrainingParameters
from tasks.stage.caching import ASKS_STORE
from tasks.stage.references import ModelReference, TokenBlocks, Weights
from tasks.training.sharing import forget, obtain, obtain_model, obtain_same, share, share_model
from tasks.weights import weights_key

MOVES_FOLDERS: dict[str, Any] = {**ASKS_STORE, "retries": 3, "retry_delay_seconds": [2, 10, 30]}
"""Options of a task that copies folders to or from an object store."""
POLL_S = 2.0
SILENCE_S = 600.0
"""How long the Prefect API may be unavailable during the wait."""
_UNFINISHED = [StateType.SCHEDULED, StateType.PENDING, StateType.RUNNING, StateType.PAUSED]


@task(name="finetune remotely", **(MOVES_FOLDERS | {"retry_delay_seconds": [10, 30, 60]}))
def finetune_remotely(  # noqa: PLR0913 the parameters of `finetune`
    deployment: str,
    *,
    tokens: TokenBlocks,
    base: ModelReference,
    training: TrainingParameters,
    release: ReleaseParameters,
    sampling: SamplingParameters,
    not_before: datetime | None,
) -> Weights:
    """Return the weights from this machine or the store; otherwise run `deployment` to make them, and wait for it.

    If an unfinished run of the deployment already makes the same weights, the task waits for that run instead of
    starting another one, so a retry picks up where it was. A task that is cancelled or interrupted cancels the run.
    """
    key = weights_key(tokens.sha256, base.sha256, training)
    if not_before is not None:
        forget(Weights, key, release, not_before)
    found = obtain(Weights, key, release)
    if found is None:
        share(tokens, release)
        share_model(base, release)
        parameters = {
            "tokens": tokens.model_dump(mode="json"),
            "base": base.model_dump(mode="json"),
            "training": training.model_dump(mode="json"),
            "release": release.model_dump(mode="json"),
            "sampling": sampling.model_dump(mode="json"),
            "not_before": not_before,
            "shared": True,
        }
        _run(deployment, parameters, tag=f"weights-{key[:12]}")
        found = obtain(Weights, key, release)
    if found is None:
        raise UnavailableError(f"{deployment} completed, but {release.destination} lacks its weights {key[:12]}")
    print(f"weights: {found.describe()}")
    return found


@task(name="fetch inputs", **MOVES_FOLDERS)
def fetch_inputs(tokens: TokenBlocks, base: ModelReference, release: ReleaseParameters) -> None:
    """Fetch tokens and base model to the worker that fine-tunes, unless it has them."""
    obtain_same(TokenBlocks, tokens.key, tokens.sha256, release)
    obtain_model(base, release)


@task(name="share weights", **MOVES_FOLDERS)
def share_weights(weights: Weights, release: ReleaseParameters) -> None:
    """Copy the weights from the worker that fine-tuned to the store, where the waiting run fetches them."""
    share(weights, release)


def _run(deployment: str, parameters: dict[str, Any], tag: str) -> None:
    """Run the deployment, or wait for its unfinished run with this tag.

    Raises:
        InputError: there is no such deployment, or its run failed or was cancelled.
        UnavailableError: its run crashed, or the API is unavailable.
    """
    with get_client(sync_client=True) as client:
        run = _find_unfinished(client, tag) or _start(deployment, parameters, tag)
        print(f"finetune: {deployment} runs as {run.name}")
        try:
            ended = _wait(client, run.id)
        except BaseException:
            _cancel(client, run)
            raise
    state = ended.state
    assert state is not None
    if state.is_completed():
        return
    message = f"the run {run.name} of {deployment} ended as {state.name}: {state.message or 'see its log'}"
    raise UnavailableError(message) if state.is_crashed() else InputError(message)


def _find_unfinished(client: SyncPrefectClient, tag: str) -> FlowRun | None:
    states = FlowRunFilterState(type=FlowRunFilterStateType(any_=_UNFINISHED))
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
    """The run when it has ended; a temporarily unavailable API is tolerated."""
    answered = time.monotonic()
    while True:
        try:
            found = client.read_flow_run(run)
            answered = time.monotonic()
            if found.state is not None and found.state.is_final():
                return found
        except httpx.HTTPError as error:
            if time.monotonic() - answered > SILENCE_S:
                raise UnavailableError(f"the Prefect API has not answered for {SILENCE_S / 60:.0f} minutes") from error
        time.sleep(POLL_S)


def _cancel(client: SyncPrefectClient, run: FlowRun) -> None:
    print(f"finetune: cancels the run {run.name}")
    client.set_flow_run_state(run.id, Cancelling(message="The run that waited for it has ended."))
