from collections.abc import Callable
from pathlib import Path

import pytest

from tasks.errors import InputError
from tasks.parameters import ReleaseParameters
from tasks.registry import verbs
from tasks.registry.answers import VersionEntry

Publish = Callable[..., str]


@pytest.fixture
def versions(publish_facts: Publish) -> list[str]:
    return [publish_facts(steps=steps) for steps in (1, 2)]


def test_list_has_versions_newest_first_with_facts_and_aliases(release: ReleaseParameters, versions: list[str]) -> None:
    listed = verbs.list_releases(release=release)
    assert [(one.version, one.facts, one.aliases) for one in listed.versions] == [
        (versions[1], {"steps": 2}, ("latest",)),
        (versions[0], {"steps": 1}, ()),
    ]
    [alias] = listed.aliases
    assert (alias.alias, alias.version, alias.previous, alias.seq) == ("latest", versions[1], versions[0], 2)


def test_a_name_without_releases_is_listed_with_the_names_that_have_some(
    release: ReleaseParameters, versions: list[str]
) -> None:
    other = verbs.list_releases(release=release.model_copy(update={"name": "other"}))
    assert (other.versions, other.other_names) == ((), ("jokes",))


def test_an_incomplete_version_is_counted(release: ReleaseParameters, versions: list[str], tmp_path: Path) -> None:
    [manifest] = (tmp_path / "store").rglob(f"{versions[0]}/manifest.json")
    manifest.unlink()
    listed = verbs.list_releases(release=release)
    assert (len(listed.versions), listed.incomplete) == (1, 1)
    assert "1 incomplete one (publish again, or prune)" in listed.sentence()


@pytest.mark.parametrize("form", ["{version}", "{digits}", "latest", "jokes@latest", "{store}/jokes@latest"])
def test_a_version_is_named_in_any_form(release: ReleaseParameters, versions: list[str], form: str) -> None:
    text = form.format(version=versions[1], digits=versions[1][:6], store=release.destination)
    named = release if "/" not in form else ReleaseParameters(destination="elsewhere", name="other")
    shown = verbs.show(text, release=named)
    assert shown.uri == f"{release.destination}/jokes@{versions[1]}"
    assert list(shown.files) == ["release.json"]


def test_promote_moves_an_alias_once_and_rollback_moves_it_back(
    release: ReleaseParameters, versions: list[str]
) -> None:
    for version in versions:
        assert verbs.promote(version, release=release).moved
    again = verbs.promote("latest", release=release)
    assert (again.moved, again.seq) == (False, 2)
    back = verbs.rollback(release=release)
    assert (back.version, back.previous, back.seq) == (*versions, 3)
    with pytest.raises(InputError, match="has named no version before"):
        verbs.rollback(release=release)


def test_fetch_downloads_a_release_once(release: ReleaseParameters, versions: list[str], tmp_path: Path) -> None:
    fetched = verbs.fetch("jokes@latest", tmp_path / "target", release=release)
    assert (fetched.version, fetched.files) == (versions[1], 1)
    assert fetched.downloaded_bytes == fetched.bytes
    assert verbs.fetch(versions[1], tmp_path / "target", release=release).downloaded_bytes == 0


def test_verify_detects_a_wrong_byte(release: ReleaseParameters, versions: list[str], tmp_path: Path) -> None:
    assert verbs.verify(release=release).version == versions[1]
    [file] = (tmp_path / "store").rglob(f"{versions[1]}/release.json")
    file.write_text('{"steps": 3}')
    with pytest.raises(InputError, match=r"is damaged: release\.json has the sha256"):
        verbs.verify(release=release)


def test_prune_and_abort_stale_keep_what_is_young(release: ReleaseParameters, versions: list[str]) -> None:
    for dry_run in (True, False):
        pruned = verbs.prune(keep=1, dry_run=dry_run, release=release)
        assert (pruned.versions, pruned.kept, pruned.dry_run) == ((), 2, dry_run)
    assert verbs.abort_stale(release=release).uploads == ()
    kept = verbs.list_releases(release=release).versions
    assert {one.version for one in kept} == set(versions)
    assert all(isinstance(one, VersionEntry) for one in kept)
