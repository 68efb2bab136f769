"""Hub ids against a real hub on loopback: huggingface_hub reads its environment once, so each test is a process."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tasks.settings import ROOT
from tests.modeling.hub_server import COMMIT, TOKEN, serve_hub

FIND = """
import json, sys
from tasks.errors import SpinneretError
from tasks.modeling.base_models import hub_commit
found = {}
for name in sys.argv[1:]:
    try:
        found[name] = hub_commit(name)
    except SpinneretError as error:
        found[name] = [type(error).__name__, str(error)]
"""
LOAD = """
from tasks.modeling.happy import TunableGeneration
from tasks.modeling.tokenization import load_positions, load_tokenizer
for name in sys.argv[1:]:
    if not isinstance(found[name], str):
        continue
    try:
        generator = TunableGeneration("GPT-NEO", name, revision=found[name])
        same = load_tokenizer(name, found[name])("you can") == generator.tokenizer("you can")
        weights = sum(float(value.detach().double().sum()) for value in generator.model.parameters())
        found[name] = [found[name], load_positions(name, found[name]), weights, same]
    except SpinneretError as error:
        found[name] = [type(error).__name__, str(error)]
"""
PRINT = "\nprint(json.dumps(found))\n"


@pytest.fixture(scope="module")
def hub_folder(neo_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("hub")
    for name in ("tiny", "private", "no-config", "no-weights"):
        shutil.copytree(neo_folder, root / "lab" / name)
    (root / "lab" / "no-config" / "config.json").unlink()
    (root / "lab" / "no-weights" / "model.safetensors").unlink()
    return root


@pytest.fixture(scope="module")
def hub_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hub-home")


class Online:
    """What a process found while the hub was available, and the requests that the hub received."""

    def __init__(self, found: dict[str, Any], requests: list[tuple[str, str, str | None]]) -> None:
        self.found, self.requests = found, requests


@pytest.fixture(scope="module")
def online(hub_folder: Path, hub_home: Path) -> Online:
    names = [f"lab/{name}" for name in ("tiny", "private", "gated", "absent", "broken", "no-config", "no-weights")]
    with serve_hub(hub_folder) as (endpoint, requests):
        found = run_script(FIND + LOAD, *names, home=hub_home, HF_ENDPOINT=endpoint, HF_TOKEN=TOKEN)
    return Online(found, requests)


def run_script(script: str, *names: str, home: Path, **environment: str) -> dict[str, Any]:
    """Run the script in a process of its own, with its own home and none of our settings."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING", "TRANSFORMERS"))
    }
    own = {"HOME": str(home), "HF_HOME": str(home / "hf"), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", script + PRINT, *names], env=kept | own | environment, capture_output=True, text=True,
        check=False, timeout=200,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def whole_sum(folder: Path) -> float:
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder)
    return sum(float(value.detach().double().sum()) for value in model.parameters())


def test_a_hub_id_is_downloaded_and_gives_its_commit(online: Online, neo_folder: Path) -> None:
    commit, positions, weights, same_tokenizer = online.found["lab/tiny"]
    assert (commit, positions, same_tokenizer) == (COMMIT, 128, True)
    assert weights == pytest.approx(whole_sum(neo_folder))


def test_after_the_commit_is_known_everything_is_read_at_that_commit(online: Online) -> None:
    requested = [path for _, path, _ in online.requests if path.startswith("/lab/tiny/resolve/main/")]
    # With peft installed, transformers also checks whether the hub id has adapters; it has none.
    known = {"/lab/tiny/resolve/main/config.json", "/lab/tiny/resolve/main/adapter_config.json"}
    assert set(requested) <= known


def test_the_token_is_sent_and_gives_access_to_private_models(online: Online) -> None:
    assert online.found["lab/private"][0] == COMMIT
    assert {authorization for _, _, authorization in online.requests} == {f"Bearer {TOKEN}"}


@pytest.mark.parametrize("name", ["lab/absent", "lab/gated"])
def test_a_missing_or_gated_model_is_an_input_error(online: Online, name: str) -> None:
    kind, sentence = online.found[name]
    assert kind == "InputError"
    assert f"--model.name {name}: " in sentence
    assert "HF_TOKEN" in sentence
    assert "scratch-tiny" in sentence


def test_a_failing_hub_is_unavailable(online: Online) -> None:
    kind, sentence = online.found["lab/broken"]
    assert kind == "UnavailableError"
    assert "did not answer" in sentence


@pytest.mark.parametrize(
    ("name", "message"), [("lab/no-config", "no config.json"), ("lab/no-weights", "cannot be loaded as a model")]
)
def test_an_incomplete_hub_model_is_an_input_error(online: Online, name: str, message: str) -> None:
    kind, sentence = online.found[name]
    assert (kind, message in sentence) == ("InputError", True)
    assert "\n" not in sentence


@pytest.mark.slow
def test_offline_the_cache_is_used_and_a_missing_model_is_an_error(online: Online, hub_home: Path) -> None:
    found = run_script(FIND + LOAD, "lab/tiny", "lab/other", home=hub_home, HF_HUB_OFFLINE="1")
    assert found["lab/tiny"] == online.found["lab/tiny"]
    kind, sentence = found["lab/other"]
    assert kind == "UnavailableError"
    assert "scratch-tiny, scratch-125m, scratch-1.3b" in sentence


def test_an_unreachable_hub_is_unavailable_and_the_error_names_the_presets(online: Online, hub_home: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # nobody listens
        endpoint = f"http://127.0.0.1:{closed.getsockname()[1]}"
        began = time.monotonic()
        found = run_script(FIND, "lab/other", "lab/tiny", home=hub_home, HF_ENDPOINT=endpoint)
    assert time.monotonic() - began < 20
    assert found["lab/tiny"] == COMMIT  # from the cache
    kind, sentence = found["lab/other"]
    assert kind == "UnavailableError"
    assert endpoint in sentence
    assert "scratch-tiny, scratch-125m, scratch-1.3b" in sentence
