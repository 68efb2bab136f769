"""Installation: what a Prefect server has to hold for this project.

What comes in: the address of a server. What it leaves there: the pools `gpu` (one run at a time) and `cpu`, every
deployment of `prefect.yaml`, every automation of `automations.yaml`. Doing it again changes nothing.
"""

import subprocess
import sys
from pathlib import Path

from deployments import automations
from tasks.errors import UnavailableError
from tasks.settings import ROOT

DEPLOYMENTS = ROOT / "deployments" / "prefect.yaml"
POOLS: dict[str, int | None] = {"gpu": 1, "cpu": None}
"""How many runs a pool has at once; None: as many as there are."""
_DEPLOY_LIMIT_S = 180


def install(environment: dict[str, str], log: Path, webhook_url: str | None) -> list[str]:
    """Install everything on the server that `environment` names; returns the names of the automations.

    UnavailableError where the server refuses it.
    """
    from prefect.settings import PREFECT_API_URL, temporary_settings

    with temporary_settings({PREFECT_API_URL: environment["PREFECT_API_URL"]}):
        for name, limit in POOLS.items():
            _make_pool(name, limit)
        _deploy(environment, log)
        return automations.apply(automations.read_template(), webhook_url)


def _make_pool(name: str, limit: int | None) -> None:
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
    """Prefect's own command, since it alone reads prefect.yaml; its words go to `log`."""
    command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--prefect-file", str(DEPLOYMENTS), "--all"]
    with log.open("w") as words:
        done = subprocess.run(
            command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=words, stderr=words,
            timeout=_DEPLOY_LIMIT_S, check=False,
        )  # fmt: skip
    if done.returncode:
        raise UnavailableError(f"the deployments could not be made; why stands in {log}")
