"""Run artifacts: what is shown of a run in the Prefect UI.

What comes in: Markdown. What it leaves: an artifact of the run that a person started, so that all of them stand on one
page: Prefect's own functions attach them to the subflow that makes them. A server that is away is told of, and ends
nothing.
"""

import httpx
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import ArtifactCreate
from prefect.client.schemas.objects import Artifact
from prefect.exceptions import PrefectException
from prefect.runtime import flow_run

SERVER_IS_AWAY = (httpx.HTTPError, PrefectException)


def show(key: str, markdown: str, description: str) -> None:
    """Show a text in the run that a person started; the newest of each `key` is found under Artifacts, too."""
    try:
        create("markdown", markdown, key, description)
    except SERVER_IS_AWAY as error:
        print(f"artifact {key}: the Prefect server did not take it ({error!r})")


def create(kind: str, data: str | float, key: str, description: str) -> Artifact:
    """Make an artifact of the run that a person started; httpx.HTTPError or PrefectException where that fails."""
    wanted = ArtifactCreate(
        key=key, type=kind, data=data, description=description, flow_run_id=flow_run.root_flow_run_id
    )
    with get_client(sync_client=True) as client:
        return client.create_artifact(wanted)
