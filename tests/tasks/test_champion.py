"""Claims about the champion: which version a new one has to beat, and when it takes its place."""

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
def place(tmp_path: Path) -> ReleaseParameters:
    return ReleaseParameters(destination=str(tmp_path / "store"), name="jokes")


@pytest.fixture
def published(place: ReleaseParameters, tmp_path: Path) -> Publish:
    """Publish a release with weights of this digest; returns its version."""

    def run(weights: str) -> str:
        folder = tmp_path / f"release-{weights}"
        folder.mkdir(exist_ok=True)
        (folder / "release.json").write_text(json.dumps({"weights_sha256": weights}))
        with open_store(parse_destination(place.destination)) as store:
            return publish(store, folder, "jokes").version

    return run


def found(place: ReleaseParameters, weights: str) -> ModelReference | None:
    return find_champion.fn(place, references.weights(model_sha256=weights), "GPT-NEO")


def promoted(place: ReleaseParameters, version: str) -> bool:
    with open_store(parse_destination(place.destination)) as store:
        return promote_to_champion(store, "jokes", version, {})


def champion(place: ReleaseParameters) -> str | None:
    with open_store(parse_destination(place.destination)) as store:
        said = read_alias(store, "jokes", CHAMPION)
    return said.version if said else None


def test_there_is_no_champion_without_the_alias(place: ReleaseParameters, published: Publish) -> None:
    assert found(place, "a") is None, "nothing is published at all"
    published("a")
    assert found(place, "b") is None, "latest is no champion"


def test_the_version_of_the_alias_is_fetched_and_verified(place: ReleaseParameters, published: Publish) -> None:
    version = published("a")
    promote(version, release=place)
    model = found(place, "b")
    assert model is not None
    assert model.sha256 == version
    assert (Path(model.load_from) / "release.json").is_file()


def test_the_same_run_again_has_to_beat_the_same_opponent(place: ReleaseParameters, published: Publish) -> None:
    first, second = published("a"), published("b")
    promote(first, release=place)
    assert found(place, "a") is None, "it had beaten the base model"
    promote(second, release=place)
    again = found(place, "b")
    assert again is not None
    assert again.sha256 == first


def test_a_damaged_champion_is_logged_and_does_not_stop_the_run(
    place: ReleaseParameters, published: Publish, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    promote(published("a"), release=place)
    [file] = (tmp_path / "store").rglob("release.json")
    file.write_text("{}")
    assert found(place, "b") is None
    assert "it cannot be compared (" in capsys.readouterr().out


def test_a_version_is_promoted_but_not_one_that_a_person_rolled_back_from(
    place: ReleaseParameters, published: Publish, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = published("a"), published("b")
    assert promoted(place, first)
    assert promoted(place, first), "it is the champion already"
    assert promoted(place, second)
    rollback(release=place)
    assert champion(place) == first
    assert not promoted(place, second)
    assert f"flows/release.py promote {second[:12]}" in capsys.readouterr().out
    assert champion(place) == first
    assert promoted(place, published("c"))
    assert promoted(place, second), "the rollback is not the last word any more"
