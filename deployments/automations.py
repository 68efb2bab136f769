"""Automations: what the server does by itself, from `automations.yaml`.

What comes in: the template, and from the environment PREFECT_API_URL and SPINNERET_WEBHOOK_URL (where notifications
go: Slack, Mattermost and whatever else takes `{"text": ...}`). What it leaves: one automation of each name on the
server, however often it runs, and the webhook as a block, which the server keeps encrypted.
Command: `python -m deployments.automations`.
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
"""What stands in the template for the id of the block."""
BLOCK = "spinneret-notifications"
VARIABLE = "SPINNERET_WEBHOOK_URL"


def read_template(path: Path = TEMPLATE) -> list[dict[str, Any]]:
    """The automations of a template, as plain values."""
    read: list[dict[str, Any]] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return read


def apply(template: Sequence[Mapping[str, Any]], webhook_url: str | None) -> list[str]:
    """See to it that the server of PREFECT_API_URL has each automation of `template` once, as it stands there.

    One that is there already stays, and so does what it has seen of runs that may be dead. Those that call the webhook
    are removed where there is no `webhook_url`. Returns the names of those that are there.
    """
    from prefect.client.orchestration import get_client

    block = _save_webhook(webhook_url) if webhook_url else None
    with get_client(sync_client=True) as client:
        for entry in template:
            wanted = None if calls_webhook(entry) and block is None else _automation(entry, block)
            _renew(client, str(entry["name"]), wanted)
    return [str(entry["name"]) for entry in template if block or not calls_webhook(entry)]


def calls_webhook(entry: Mapping[str, Any]) -> bool:
    """Whether an automation wants the webhook."""
    return any(action.get("block_document_id") == WEBHOOK for action in entry["actions"])


def _automation(entry: Mapping[str, Any], block: UUID | None) -> "AutomationCore":
    from prefect.events.schemas.automations import AutomationCore

    actions = [
        {**action, "block_document_id": str(block)} if action.get("block_document_id") == WEBHOOK else action
        for action in entry["actions"]
    ]
    return AutomationCore.model_validate({**entry, "actions": actions})


def _renew(client: "SyncPrefectClient", name: str, wanted: "AutomationCore | None") -> None:
    """Nothing keeps a server from having two automations of one name: all but one that is as wanted go."""
    found = client.read_automations_by_name(name)
    kept = next((one for one in found if wanted is not None and _content(one) == _content(wanted)), None)
    for one in found:
        if one is not kept:
            client.delete_automation(one.id)
    if wanted is not None and kept is None:
        client.create_automation(wanted)


def _content(automation: "AutomationCore") -> dict[str, Any]:
    """What an automation says, whoever made it: the server gives ids, and parts that we leave out."""
    return automation.model_dump(mode="json", include={"name", "enabled", "trigger", "actions"})


def _save_webhook(url: str) -> UUID:
    from prefect.blocks.webhook import Webhook
    from prefect.types import SecretDict
    from pydantic import SecretStr

    block = Webhook(url=SecretStr(url), headers=SecretDict({"Content-Type": "application/json"}))
    saved: Any = block.save(BLOCK, overwrite=True)  # by its type also a coroutine, which it is in async code only
    return UUID(str(saved))


def main() -> None:
    """Apply the template and say what was done."""
    from prefect.settings import PREFECT_API_URL

    url = os.environ.get(VARIABLE)
    for name in apply(read_template(), url):
        print(name)
    told = "notifications go to the webhook" if url else f"no notifications, since {VARIABLE} is not set"
    print(f"{PREFECT_API_URL.value()}: {told}")


if __name__ == "__main__":
    main()
