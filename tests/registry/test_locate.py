from collections.abc import Callable
from pathlib import Path

import pytest

from tasks.errors import InputError
from tasks.parameters import ReleaseParameters
from tasks.registry.locate import fetch_release, find_version, latest, open_releases, release_uri
from tasks.settings import settings

Publish = Callable[..., str]


def test_a_reference_is_destination_name_and_selector(release: ReleaseParameters) -> None:
    assert latest(release) == f"{release.destination}/jokes@latest"
    bucket = ReleaseParameters(destination="s3://bucket/prefix/", name="jokes")
    assert release_uri(bucket, "champion") == "s3://bucket/prefix/jokes@champion"


def test_a_folder_is_created_unless_it_must_exist(release: ReleaseParameters) -> None:
    with pytest.raises(InputError, match="holds no releases"), open_releases(release, must_exist=True):
        pass
    assert not Path(release.destination).exists()
    with open_releases(release) as store:
        assert store.location == release.destination
    assert Path(release.destination).is_dir()


def test_a_destination_below_data_is_in_the_data_folder() -> None:
    with open_releases(ReleaseParameters(destination="data/store", name="jokes")):
        assert (settings().data / "store").is_dir()


def test_a_release_is_fetched_by_alias_version_or_first_digits(
    release: ReleaseParameters, publish_facts: Publish
) -> None:
    version = publish_facts(steps=1)
    for selector in ("latest", version, version[:8]):
        fetched = fetch_release(release_uri(release, selector))
        assert fetched.version == version
        assert fetched.folder == settings().data / "releases" / version
    assert (fetched.folder / "release.json").is_file()
    assert fetched.downloaded_bytes == 0, "it was fetched before"


def test_a_damaged_folder_is_fetched_again(release: ReleaseParameters, publish_facts: Publish) -> None:
    publish_facts(steps=1)
    folder = fetch_release(latest(release)).folder
    (folder / "release.json").write_text("{}")
    assert fetch_release(latest(release)).downloaded_bytes
    assert "steps" in (folder / "release.json").read_text()


def test_an_alias_is_resolved_without_a_download(release: ReleaseParameters, publish_facts: Publish) -> None:
    version = publish_facts(steps=1)
    assert find_version(latest(release)) == version
    assert not (settings().data / "releases").exists()


def test_a_release_that_does_not_exist_is_one_sentence(release: ReleaseParameters, publish_facts: Publish) -> None:
    publish_facts(steps=1)
    with pytest.raises(InputError, match="has no release jokes@champion: it has the aliases latest"):
        fetch_release(release_uri(release, "champion"))
    with pytest.raises(InputError, match="is not a release: write"):
        find_version("jokes")
