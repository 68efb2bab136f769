"""Releases in a folder, for tests without a command line."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tasks.parameters import ReleaseParameters
from tasks.storage.destination import open_store, parse_destination
from tasks.storage.publish import publish


@pytest.fixture
def release(tmp_path: Path) -> ReleaseParameters:
    return ReleaseParameters(destination=str(tmp_path / "store"), name="jokes")


@pytest.fixture
def publish_facts(release: ReleaseParameters, tmp_path: Path) -> Callable[..., str]:
    """Publish a release with these facts; returns its version."""

    def run(**facts: Any) -> str:
        folder = tmp_path / "release"
        folder.mkdir(exist_ok=True)
        (folder / "release.json").write_text(json.dumps(facts))
        with open_store(parse_destination(release.destination)) as store:
            return publish(store, folder, release.name).version

    return run
