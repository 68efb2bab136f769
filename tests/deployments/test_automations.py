"""The automations, without a server."""

import tomllib
from typing import Any

import pytest
import yaml
from prefect.events.schemas.automations import AutomationCore

from deployments.automations import WEBHOOK, calls_webhook, read_template
from tasks.settings import ROOT

TEMPLATE = read_template()
NO_BLOCK = "00000000-0000-0000-0000-000000000000"


@pytest.mark.parametrize("entry", TEMPLATE, ids=lambda entry: str(entry["name"]))
def test_prefect_knows_every_field_of_an_automation(entry: dict[str, Any]) -> None:
    """Prefect ignores unknown fields, so a typing error would go unnoticed."""
    actions = [
        {**action, "block_document_id": NO_BLOCK} if calls_webhook(entry) else action for action in entry["actions"]
    ]
    read = AutomationCore.model_validate({**entry, "actions": actions}).model_dump(mode="json")
    assert set(entry) <= set(read)
    assert set(entry["trigger"]) <= set(read["trigger"])
    assert all(set(action) <= set(known) for action, known in zip(actions, read["actions"], strict=True))


def test_names_of_automations_are_unique() -> None:
    assert len({entry["name"] for entry in TEMPLATE}) == len(TEMPLATE)


def test_a_run_is_not_marked_dead_while_the_server_is_unavailable_for_two_minutes() -> None:
    [dead] = [entry for entry in TEMPLATE if entry["name"].endswith("is marked Crashed")]
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["prefect"]
    assert dead["trigger"]["within"] >= 120 + 3 * settings["flows"]["heartbeat_frequency"]


def test_the_retries_of_a_request_outlast_a_server_that_is_unavailable_for_two_minutes() -> None:
    """Prefect pauses 2, 4, 8 ... seconds between them."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["prefect"]
    assert sum(2**retry for retry in range(1, settings["client"]["max_retries"] + 1)) >= 2 * 120


def test_the_template_has_no_url() -> None:
    assert [
        action["block_document_id"] for entry in TEMPLATE for action in entry["actions"] if calls_webhook(entry)
    ] == [WEBHOOK] * 2


def test_no_deployment_has_a_concurrency_limit() -> None:
    """It would be a lease, which a server forgets when it restarts, and then the run ends. The pools have limits."""
    deployments = yaml.safe_load((ROOT / "deployments" / "prefect.yaml").read_text())["deployments"]
    assert not [one for one in deployments if "concurrency_limit" in one]
