"""The UI in a real browser: open the deployment, fill in the form, watch the run, read its artifacts."""

import json
import re
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic.fields import FieldInfo

from flows.train import train
from tasks.parameters import RunParameters
from tests.deployments.browser import BROWSER, DRIVER, LAPTOP, PHONE, Browser, Form
from tests.deployments.conftest import Up
from tests.deployments.installation import RESUMED, TINY, endless_training
from tests.deployments.processes import processes_of
from tests.factories.waiting import wait_until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(
        BROWSER is None or DRIVER is None, reason="a browser is needed: apt-get install chromium chromium-driver"
    ),
    pytest.mark.skipif(sys.platform != "linux", reason="processes are found in /proc"),
]
GROUPS: dict[str, Any] = {name: field.annotation for name, field in RunParameters.model_fields.items()}
FIELDS = [(group, name, field) for group, kind in GROUPS.items() for name, field in kind.model_fields.items()]
SHOWN = ("corpus-report", "losses", "metrics", "samples", "summary")
"""The artifacts of a run, by key."""


@pytest.fixture(scope="module")
def browser(up: Up, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    folder = tmp_path_factory.mktemp("browser")
    browser = Browser(up.api.address, folder / "profile", folder)
    yield browser
    browser.close()


@pytest.fixture
def form(up: Up, browser: Browser) -> Form:
    browser.resize(LAPTOP)
    return Form(browser, up.api.deployment("train/train"))


def runs(up: Up) -> set[str]:
    return {run["id"] for run in up.api.request("POST", "/flow_runs/filter", json={})}


def test_the_form_has_every_group_with_every_description_default_and_limit(form: Form) -> None:
    text = form.browser.text
    shown = " ".join(text.split())
    properties, groups = train.parameters.properties, train.parameters.definitions
    descriptions = {
        name: schema.get("description") or groups[GROUPS[name].__name__]["description"]
        for name, schema in properties.items()
    }
    assert not [name for name, description in descriptions.items() if f"{name} (Optional) {description}" not in shown]
    missing = [(group, name) for group, name, field in FIELDS if _as_shown(field) not in shown]
    assert missing == []
    assert form.value("corpus", "num_documents") == "6000"
    assert form.value("corpus", "source") == "data/templates/cheese.spintax"
    assert form.value("model", "name") == "scratch-tiny"
    assert form.value("training", "num_train_epochs") == "3"
    assert form.value("training", "learning_rate") == 'Property is type "None"'
    assert form.value("sampling", "temperature") == "0.8"
    assert form.value("release", "destination") == "data/store"


def test_a_value_out_of_range_is_refused_before_there_is_a_run(form: Form, up: Up) -> None:
    before = runs(up)
    form.set("corpus", "num_documents", 1)
    assert "'corpus.num_documents'. Failure reason: 1 is less than the minimum of 2" in form.submit()
    deployment = up.api.deployment("train/train")
    for wrong in ({"training": {"learning_rate": 2}}, {"training": {"learning_rat": 0.1}}):
        answer = up.api.client.post(f"/deployments/{deployment}/create_flow_run", json={"parameters": wrong})
        assert answer.status_code == 409, answer.text
    assert runs(up) == before


def test_a_run_is_submitted_watched_and_read(form: Form, up: Up) -> None:
    form.set("corpus", "template", TINY["corpus"]["template"])
    form.set("training", "max_steps", 30)
    form.set("sampling", "num_samples", 1)
    form.set("sampling", "max_length", 8)
    answer = form.submit()
    browser, name = form.browser, answer.split()[0]
    browser.wait_for_text("scheduled to start now")  # the page completes its message after showing it
    browser.click(name)
    browser.wait_for_text("Running", "release: will be published as data/store/spinneret@latest", limit_s=120)
    browser.wait_for_text("Completed", limit_s=180)
    run = re.search(r"flow-run/([0-9a-f-]+)", browser.driver.current_url)
    assert run is not None
    browser.click("Artifacts")
    browser.wait_for_text(*SHOWN, "release", "training", "publishing")
    parameters = up.api.request("GET", f"/flow_runs/{run[1]}")["parameters"]
    assert parameters["training"]["max_steps"] == 30
    assert parameters["corpus"]["template"] == TINY["corpus"]["template"]


@pytest.mark.parametrize("size", [LAPTOP, PHONE], ids=["laptop", "phone"])
@pytest.mark.parametrize("key", SHOWN)
def test_every_artifact_can_be_read(browser: Browser, up: Up, key: str, size: tuple[int, int]) -> None:
    """A wide table or picture scrolls in its own box; the page does not scroll sideways."""
    browser.resize(size)
    found = up.api.request("POST", "/artifacts/latest/filter", json={"artifacts": {"key": {"any_": [key]}}})
    assert found, key
    browser.open(f"/artifacts/artifact/{found[0]['latest_id']}")
    words = re.findall(r"[A-Za-z]{5,}", re.sub(r"!\[.*?\]\(.*?\)", "", found[0]["data"]))[:5]
    browser.wait_for_text(*words)
    browser.picture(f"{key}-{size[0]}")
    assert browser.overflow() == 0
    if "data:image" in found[0]["data"]:
        assert browser.driver.execute_script("return [...document.images].some(image => image.naturalWidth > 200)")


def test_a_run_is_cancelled_and_retried_by_its_buttons(browser: Browser, up: Up) -> None:
    browser.resize(LAPTOP)
    before = up.api.count_logs(RESUMED)
    run = up.api.trigger("train/train", endless_training(2_000_000))
    up.api.wait_for_log("training: step 0 of 2,000,000")
    browser.open(f"/runs/flow-run/{run}")
    browser.wait_for_text("Running", "Cancel")
    processes = processes_of(run)
    _confirm(browser, "Cancel")
    assert wait_until(lambda: not any(process.is_running() for process in processes), 20)
    browser.wait_for_text("Cancelled", limit_s=120)
    _confirm(browser, "Retry")
    up.api.wait_for_log(RESUMED, before + 1)
    assert up.api.set_state(run, "CANCELLING", "Cancelling") == "ACCEPT"
    up.api.wait_for_state(run, "Cancelled")


def test_no_secret_is_in_the_api(up: Up) -> None:
    """The URL of the webhook is a secret: it is all that one needs to post there."""
    requests = {
        "/flow_runs/filter": "POST", "/deployments/filter": "POST", "/logs/filter": "POST", "/artifacts/filter": "POST",
        "/work_pools/filter": "POST", "/variables/filter": "POST", "/automations/filter": "POST",
        "/block_documents/filter": "POST", "/admin/settings": "GET",
    }  # fmt: skip
    for path, method in requests.items():
        options: dict[str, Any] = {"json": {}} if method == "POST" else {}
        answer = json.dumps(up.api.request(method, path, **options))
        assert up.webhook.url not in answer, path
        assert not re.search(r"secret_access_key\W+\w{8}", answer, re.IGNORECASE), path


def _confirm(browser: Browser, button: str) -> None:
    """Press a button and confirm in the dialog."""
    browser.click(button)
    browser.wait_for_text("Close")
    browser.click("Confirm" if "Confirm" in browser.text else button, last=True)


def _as_shown(field: FieldInfo) -> str:
    """A description as the form shows it, without the backquotes of Markdown."""
    return " ".join((field.description or "NO DESCRIPTION").replace("`", "").split())
