"""The automations' template, without a server."""

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
def test_an_automation_says_what_it_means(entry: dict[str, Any]) -> None:
    """Prefect ignores words that it does not know, so a typing error would pass."""
    actions = [
        {**action, "block_document_id": NO_BLOCK} if calls_webhook(entry) else action for action in entry["actions"]
    ]
    read = AutomationCore.model_validate({**entry, "actions": actions}).model_dump(mode="json")
    assert set(entry) <= set(read)
    assert set(entry["trigger"]) <= set(read["trigger"])
    assert all(set(action) <= set(known) for action, known in zip(actions, read["actions"], strict=True))


def test_names_are_one_of_a_kind() -> None:
    assert len({entry["name"] for entry in TEMPLATE}) == len(TEMPLATE)


def test_a_run_is_not_taken_for_dead_while_the_server_is_away_for_two_minutes() -> None:
    [dead] = [entry for entry in TEMPLATE if entry["name"].endswith("is marked Crashed")]
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["prefect"]
    assert dead["trigger"]["within"] >= 120 + 3 * settings["flows"]["heartbeat_frequency"]


def test_no_address_stands_in_the_template() -> None:
    assert [
        action["block_document_id"] for entry in TEMPLATE for action in entry["actions"] if calls_webhook(entry)
    ] == [WEBHOOK] * 2


def test_no_run_hangs_on_a_lease_of_the_server() -> None:
    """A limit of a deployment is one: a server that is away forgets it, and its run ends. The pools have limits."""
    deployments = yaml.safe_load((ROOT / "deployments" / "prefect.yaml").read_text())["deployments"]
    assert not [one for one in deployments if "concurrency_limit" in one]
