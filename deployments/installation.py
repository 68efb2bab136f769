"""Create the work pools, deployments and automations of this project on a Prefect server."""

import subprocess
import sys
from pathlib import Path

from deployments import automations
from tasks.errors import UnavailableError
from tasks.settings import ROOT

DEPLOYMENTS = ROOT / "deployments" / "prefect.yaml"
POOLS: dict[str, int | None] = {"gpu": 1, "cpu": None}
"""The work pools with their concurrency limits."""
_DEPLOY_TIMEOUT_S = 180


def install(environment: dict[str, str], log: Path, webhook_url: str | None) -> list[str]:
    """Install everything on the server at PREFECT_API_URL of `environment`. Installing again changes nothing.

    Returns the names of the automations. Raises UnavailableError if `prefect deploy` fails; its output is in `log`.
    """
    from prefect.settings import PREFECT_API_URL, temporary_settings

    with temporary_settings({PREFECT_API_URL: environment["PREFECT_API_URL"]}):
        for name, limit in POOLS.items():
            _create_pool(name, limit)
        _deploy(environment, log)
        return automations.apply(automations.read_template(), webhook_url)


def _create_pool(name: str, limit: int | None) -> None:
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
    from prefect.exceptions import ObjectNotFound
    from prefect.workers.process import ProcessWorker

    with get_client(sync_client=True) as client:
        try:
            found = client.read_work_pool(name)
        except ObjectNotFound:
            template = ProcessWorker.get_default_base_job_template()
            pool = WorkPoolCreate(name=name, type="process", base_job_template=template, concurrency_limit=limit)
            client.create_work_pool(pool)
            return
        if found.concurrency_limit != limit:
            client.update_work_pool(name, WorkPoolUpdate(concurrency_limit=limit))


def _deploy(environment: dict[str, str], log: Path) -> None:
    """Run `prefect deploy`, the only reader of prefect.yaml; its output goes to `log`."""
    command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--prefect-file", str(DEPLOYMENTS), "--all"]
    with log.open("w") as output:
        done = subprocess.run(
            command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            timeout=_DEPLOY_TIMEOUT_S, check=False,
        )  # fmt: skip
    if done.returncode:
        raise UnavailableError(f"the deployments could not be created: see the output of `prefect deploy` in {log}")
