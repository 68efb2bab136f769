"""The champion: which version a new one has to beat, and when it replaces the champion."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tasks.champion import find_champion
from tasks.parameters import ReleaseParameters
from tasks.registry.locate import CHAMPION
from tasks.registry.verbs import promote, rollback
from tasks.release import promote_to_champion
from tasks.stage.references import ModelReference
from tasks.storage.aliases import read_alias
from tasks.storage.destination import open_store, parse_destination
from tasks.storage.publish import publish
from tests.factories import references

Publish = Callable[[str], str]


@pytest.fixture
def release(tmp_path: Path) -> ReleaseParameters:
    return ReleaseParameters(destination=str(tmp_path / "store"), name="jokes")


@pytest.fixture
def published(release: ReleaseParameters, tmp_path: Path) -> Publish:
    """Publish a release with weights of this digest; returns its version."""

    def run(weights: str) -> str:
        folder = tmp_path / f"release-{weights}"
        folder.mkdir(exist_ok=True)
        (folder / "release.json").write_text(json.dumps({"weights_sha256": weights}))
        with open_store(parse_destination(release.destination)) as store:
            return publish(store, folder, "jokes").version

    return run


def found(release: ReleaseParameters, weights: str) -> ModelReference | None:
    return find_champion.fn(release, references.weights(model_sha256=weights), "GPT-NEO")


def promoted(release: ReleaseParameters, version: str) -> bool:
    with open_store(parse_destination(release.destination)) as store:
        return promote_to_champion(store, "jokes", version, {})


def champion(release: ReleaseParameters) -> str | None:
    with open_store(parse_destination(release.destination)) as store:
        state = read_alias(store, "jokes", CHAMPION)
    return state.version if state else None


def test_there_is_no_champion_without_the_alias(release: ReleaseParameters, published: Publish) -> None:
    assert found(release, "a") is None, "nothing is published at all"
    published("a")
    assert found(release, "b") is None, "latest is not the champion"


def test_the_version_of_the_alias_is_fetched_and_verified(release: ReleaseParameters, published: Publish) -> None:
    version = published("a")
    promote(version, release=release)
    model = found(release, "b")
    assert model is not None
    assert model.sha256 == version
    assert (Path(model.load_from) / "release.json").is_file()


def test_the_same_run_again_has_to_beat_the_same_opponent(release: ReleaseParameters, published: Publish) -> None:
    first, second = published("a"), published("b")
    promote(first, release=release)
    assert found(release, "a") is None, "it had beaten the base model"
    promote(second, release=release)
    again = found(release, "b")
    assert again is not None
    assert again.sha256 == first


def test_a_damaged_champion_is_logged_and_does_not_stop_the_run(
    release: ReleaseParameters, published: Publish, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    promote(published("a"), release=release)
    [file] = (tmp_path / "store").rglob("release.json")
    file.write_text("{}")
    assert found(release, "b") is None
    assert "it cannot be compared (" in capsys.readouterr().out


def test_a_version_is_promoted_but_not_one_that_a_person_rolled_back_from(
    release: ReleaseParameters, published: Publish, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = published("a"), published("b")
    assert promoted(release, first)
    assert promoted(release, first), "it is the champion already"
    assert promoted(release, second)
    rollback(release=release)
    assert champion(release) == first
    assert not promoted(release, second)
    assert f"flows/release.py promote {second[:12]}" in capsys.readouterr().out
    assert champion(release) == first
    assert promoted(release, published("c"))
    assert promoted(release, second), "the champion was moved again since the rollback"
