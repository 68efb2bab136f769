"""Artifacts of the run that a person started, so that all of them are on one page of the Prefect UI.

Prefect's own functions attach an artifact to the subflow that makes it.
"""

import httpx
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import ArtifactCreate
from prefect.client.schemas.objects import Artifact
from prefect.exceptions import PrefectException
from prefect.runtime import flow_run

SERVER_IS_AWAY = (httpx.HTTPError, PrefectException)


def show(key: str, markdown: str, description: str) -> None:
    """Make a Markdown artifact; if the server does not answer, that is logged and the run continues."""
    try:
        create("markdown", markdown, key, description)
    except SERVER_IS_AWAY as error:
        print(f"artifact {key}: the Prefect server did not take it ({error!r})")


def create(kind: str, data: str | float, key: str, description: str) -> Artifact:
    """Make an artifact; raises httpx.HTTPError or PrefectException where the server does not answer."""
    wanted = ArtifactCreate(
        key=key, type=kind, data=data, description=description, flow_run_id=flow_run.root_flow_run_id
    )
    with get_client(sync_client=True) as client:
        return client.create_artifact(wanted)
