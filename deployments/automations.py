"""Create or update the automations of `automations.yaml` on the server at PREFECT_API_URL.

Notifications go to SPINNERET_WEBHOOK_URL (Slack, Mattermost or anything that accepts `{"text": ...}`), which the server
stores encrypted, as a block. Command: `python -m deployments.automations`.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import yaml

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.events.schemas.automations import AutomationCore

TEMPLATE = Path(__file__).with_name("automations.yaml")
WEBHOOK = "$WEBHOOK"
"""Stands in the template for the id of the block."""
BLOCK = "spinneret-notifications"
VARIABLE = "SPINNERET_WEBHOOK_URL"


def read_template(path: Path = TEMPLATE) -> list[dict[str, Any]]:
    """The automations of a template, before the id of the webhook block is filled in."""
    read: list[dict[str, Any]] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return read


def apply(template: Sequence[Mapping[str, Any]], webhook_url: str | None) -> list[str]:
    """Make the server's automations equal to `template`; returns the names of those that it has then.

    An unchanged automation is not replaced, so it keeps the events that it has counted. Without `webhook_url` the
    automations that call the webhook are removed.
    """
    from prefect.client.orchestration import get_client

    block = _save_webhook(webhook_url) if webhook_url else None
    with get_client(sync_client=True) as client:
        for entry in template:
            wanted = None if calls_webhook(entry) and block is None else _automation(entry, block)
            _replace(client, str(entry["name"]), wanted)
    return [str(entry["name"]) for entry in template if block or not calls_webhook(entry)]


def calls_webhook(entry: Mapping[str, Any]) -> bool:
    """Whether an automation calls the webhook."""
    return any(action.get("block_document_id") == WEBHOOK for action in entry["actions"])


def _automation(entry: Mapping[str, Any], block: UUID | None) -> "AutomationCore":
    from prefect.events.schemas.automations import AutomationCore

    actions = [
        {**action, "block_document_id": str(block)} if action.get("block_document_id") == WEBHOOK else action
        for action in entry["actions"]
    ]
    return AutomationCore.model_validate({**entry, "actions": actions})


def _replace(client: "SyncPrefectClient", name: str, wanted: "AutomationCore | None") -> None:
    """Delete every automation of this name that differs from `wanted`: a server allows several of one name."""
    found = client.read_automations_by_name(name)
    kept = next((one for one in found if wanted is not None and _content(one) == _content(wanted)), None)
    for one in found:
        if one is not kept:
            client.delete_automation(one.id)
    if wanted is not None and kept is None:
        client.create_automation(wanted)


def _content(automation: "AutomationCore") -> dict[str, Any]:
    """The parts that are compared: the server adds ids and other fields."""
    return automation.model_dump(mode="json", include={"name", "enabled", "trigger", "actions"})


def _save_webhook(url: str) -> UUID:
    from prefect.blocks.webhook import Webhook
    from prefect.types import SecretDict
    from pydantic import SecretStr

    block = Webhook(url=SecretStr(url), headers=SecretDict({"Content-Type": "application/json"}))
    saved: Any = block.save(BLOCK, overwrite=True)  # typed as a coroutine too, which it is in async code only
    return UUID(str(saved))


def main() -> None:
    """Apply the template and print the names of the automations."""
    from prefect.settings import PREFECT_API_URL

    url = os.environ.get(VARIABLE)
    for name in apply(read_template(), url):
        print(name)
    notifications = "notifications go to the webhook" if url else f"no notifications, since {VARIABLE} is not set"
    print(f"{PREFECT_API_URL.value()}: {notifications}")


if __name__ == "__main__":
    main()
