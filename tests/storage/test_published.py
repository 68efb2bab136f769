"""Published releases: listing, promoting, rolling back, verifying and pruning them."""

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from tasks.errors import InputError, UnavailableError
from tasks.storage.aliases import Alias, list_aliases, move_alias, read_alias
from tasks.storage.destination import open_store, parse_destination
from tasks.storage.fetch import read_manifest, resolve
from tasks.storage.inventory import FACTS, list_versions
from tasks.storage.manifest import Manifest
from tasks.storage.promotion import promote, roll_back
from tasks.storage.prune import prune
from tasks.storage.publish import publish
from tasks.storage.store import Store
from tasks.storage.verify import check_present, verify

DAY = 24 * 3600


@pytest.fixture
def versions(store: Store, release: Path, on_disk: Path) -> list[str]:
    """Four versions of `jokes`, oldest first, published days ago by the store's clock; `latest` names the last."""
    made = []
    for number in range(4):
        (release / FACTS).write_text(json.dumps({"loss_after": number / 8}))
        made.append(publish(store, release, "jokes").version)
        age(on_disk, made[-1], days=10 - number)
    return made


def age(on_disk: Path, version: str, days: float) -> None:
    """Set the age of every object of a version."""
    then = time.time() - days * DAY
    for path in (on_disk / "jokes" / "versions" / version).rglob("*"):
        os.utime(path, (then, then))


def alter(store: Store, version: str, path: str, data: bytes | None) -> None:
    """Replace or delete a file of a version over S3: rclone does not notice changes on its disk."""
    key = store.key("jokes", "versions", version, path)
    if data is None:
        store.client.delete_object(Bucket=store.bucket, Key=key)
    else:
        store.client.put_object(Bucket=store.bucket, Key=key, Body=data)


def manifest(store: Store, version: str) -> Manifest:
    return read_manifest(store, "jokes", version)


def state_of(store: Store, alias: str) -> Alias:
    state = read_alias(store, "jokes", alias)
    assert state is not None
    return state


def listed(store: Store) -> list[str]:
    return [one.version for one in list_versions(store, "jokes").versions]


def test_versions_are_listed_newest_first_with_facts_and_aliases(store: Store, versions: list[str]) -> None:
    move_alias(store, "jokes", "champion", versions[1])
    found = list_versions(store, "jokes")
    assert [one.version for one in found.versions] == versions[::-1]
    assert [one.facts for one in found.versions] == [{"loss_after": number / 8} for number in (3, 2, 1, 0)]
    assert [one.aliases for one in found.versions] == [("latest",), (), ("champion",), ()]
    assert found.versions[0].bytes == manifest(store, versions[3]).size
    assert found.versions[0].published_at < found.aliases["latest"].published_at, "by the store's clock, set back here"


def test_versions_of_the_same_second_are_ordered_by_the_moves_of_their_alias(
    store: Store, versions: list[str], on_disk: Path
) -> None:
    for version in versions:
        age(on_disk, version, days=3)
    now = time.time()
    for path in on_disk.rglob("manifest.json"):
        os.utime(path, (now, now))
    assert listed(store) == versions[::-1]


def test_damaged_facts_are_ignored(store: Store, versions: list[str]) -> None:
    alter(store, versions[3], FACTS, b'{"loss_after": 0.0}')
    assert list_versions(store, "jokes").versions[0].facts == {}


def test_a_version_is_found_by_its_first_digits(store: Store, versions: list[str]) -> None:
    assert resolve(store, "jokes", versions[2][:8]) == versions[2]
    assert resolve(store, "jokes", versions[2]) == versions[2]
    with pytest.raises(InputError, match=r"no release jokes@ffff0000ffff: it has the aliases latest"):
        resolve(store, "jokes", "ffff0000ffff")
    with pytest.raises(InputError, match=r"no release laughs@latest: it has jokes; publish one"):
        resolve(store, "laughs", "latest")


def test_first_digits_that_fit_several_versions_are_refused(store: Store, versions: list[str]) -> None:
    for end in "ab":
        alter(store, f"{'1234' * 15}123{end}", "x", b"")
    with pytest.raises(InputError, match="2 versions of jokes begin with 1234"):
        resolve(store, "jokes", "1234")


def test_each_rollback_goes_back_one_move_further(store: Store, versions: list[str]) -> None:
    zero, one, two, three = versions
    assert (state_of(store, "latest").version, state_of(store, "latest").seq) == (three, 4)
    assert roll_back(store, "jokes", "latest").version == two
    assert roll_back(store, "jokes", "latest").version == one
    promote(store, manifest(store, three), "latest")
    assert roll_back(store, "jokes", "latest").version == one, "what it named before the promotion"
    assert roll_back(store, "jokes", "latest").version == zero
    with pytest.raises(InputError, match=f"has named no version before {zero[:12]}"):
        roll_back(store, "jokes", "latest")
    state = state_of(store, "latest")
    assert [move.version for move in (*state.history, state)] == [zero, one, two, three, two, one, three, one, zero]
    assert [move.seq for move in (*state.history, state)] == list(range(1, 10))
    assert state.previous == one


def test_a_rollback_restores_the_meta_of_the_version(store: Store, versions: list[str]) -> None:
    move_alias(store, "jokes", "champion", versions[0], {"loss": 0.5})
    move_alias(store, "jokes", "champion", versions[1], {"loss": 0.25})
    assert roll_back(store, "jokes", "champion").meta == {"loss": 0.5}


def test_an_alias_without_a_history_goes_back_to_its_previous(store: Store, versions: list[str]) -> None:
    state = {"version": versions[3], "previous": versions[1], "seq": 7, "nonce": "n", "published_at": "", "meta": {}}
    store.write(store.key("jokes", "aliases", "latest.json"), json.dumps(state).encode())
    back = roll_back(store, "jokes", "latest")
    assert (back.version, back.seq) == (versions[1], 8)


@pytest.mark.parametrize("loss", ["manifest.json", "model.safetensors"])
def test_a_rollback_to_an_incomplete_version_moves_nothing(store: Store, versions: list[str], loss: str) -> None:
    alter(store, versions[2], loss, None)
    before = state_of(store, "latest")
    with pytest.raises(InputError, match=f"named {versions[2][:12]} before, which .* no longer holds"):
        roll_back(store, "jokes", "latest")
    assert state_of(store, "latest") == before
    with pytest.raises(InputError, match="has no alias nothing of jokes"):
        roll_back(store, "jokes", "nothing")


def test_an_incomplete_version_is_not_promoted(store: Store, versions: list[str]) -> None:
    alter(store, versions[1], "model.safetensors", bytes(102_399))
    with pytest.raises(InputError, match=r"is damaged: model.safetensors has 102,399 bytes instead of 102,400"):
        promote(store, manifest(store, versions[1]), "champion")
    assert read_alias(store, "jokes", "champion") is None


def test_verify_reads_every_byte_and_names_every_fault(store: Store, versions: list[str]) -> None:
    progress: list[tuple[int, int]] = []
    good = manifest(store, versions[3])
    verify(store, good, lambda done, total: progress.append((done, total)))
    assert progress[-1] == (good.size, good.size)
    alter(store, versions[3], "model.safetensors", bytes(102_400))
    alter(store, versions[3], "config.json", b"{}")
    alter(store, versions[3], FACTS, None)
    alter(store, versions[3], "samples/texts@1.txt", bytes(3_000_000))
    seen = "config.json has 2 bytes instead of 13; release.json is missing; samples/texts@1.txt has 3,000,000 bytes"
    with pytest.raises(InputError, match=seen):
        check_present(store, good)
    with pytest.raises(InputError) as found:
        verify(store, good)
    for fault in (
        "model.safetensors has the sha256", "config.json has 2 bytes instead of 13", "release.json is missing",
        "samples/texts@1.txt has more than the stated 0 bytes",
    ):  # fmt: skip
        assert fault in str(found.value)


def test_prune_reports_in_a_dry_run_and_deletes_versions_without_alias(
    store: Store, versions: list[str], on_disk: Path
) -> None:
    move_alias(store, "jokes", "champion", versions[0])
    would = prune(store, "jokes", 1, dry_run=True)
    assert [one.version for one in would.versions] == [versions[1]], "latest would go back to the third"
    assert listed(store) == versions[::-1]
    did = prune(store, "jokes", 1, dry_run=False)
    assert did == would
    assert did.kept == 3
    assert listed(store) == [versions[3], versions[2], versions[0]]
    assert not list((on_disk / "jokes" / "versions" / versions[1]).rglob("*.*"))
    for version in (versions[0], versions[2], versions[3]):
        verify(store, manifest(store, version))
    assert prune(store, "jokes", 1, dry_run=False).versions == ()


def test_prune_keeps_versions_younger_than_a_day_by_the_clock_of_the_store(
    store: Store, versions: list[str], on_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    age(on_disk, versions[1], days=0.99)
    with monkeypatch.context() as patch:
        patch.setattr(time, "time", lambda: 4e9)  # this machine's clock is far ahead
        assert [one.version for one in prune(store, "jokes", 1, dry_run=True).versions] == [versions[0]]


def test_prune_deletes_old_leftovers_and_keeps_a_running_publication(release: Path, tmp_path: Path) -> None:
    old, new = "a" * 64, "b" * 64
    for version, days in ((old, 2), (new, 0)):
        folder = tmp_path / "store" / "releases" / "jokes" / "versions" / version
        folder.mkdir(parents=True)
        (folder / "model.safetensors").write_bytes(b"half")
        age(tmp_path / "store" / "releases", version, days)
    with open_store(parse_destination(str(tmp_path / "store"))) as store:
        publish(store, release, "jokes")
        assert list_versions(store, "jokes").incomplete == (old, new)
        assert prune(store, "jokes", 9, dry_run=True).leftovers == (old,)
        assert prune(store, "jokes", 9, dry_run=False).leftovers == (old,)
        assert list_versions(store, "jokes").incomplete == (new,)


def test_a_version_promoted_during_a_prune_stays_whole(store: Store, versions: list[str]) -> None:
    promoted: list[Alias] = []

    def meanwhile(model: Any, **_: object) -> None:
        if not promoted and model.name == "DeleteObject":  # the manifest is gone, the aliases are not read yet
            promoted.append(move_alias(store, "jokes", "champion", versions[0]))

    store.client.meta.events.register("after-call.s3.DeleteObject", meanwhile)
    with pytest.raises(UnavailableError, match=f"was just moved to {versions[0][:12]}"):
        prune(store, "jokes", 3, dry_run=False)
    assert promoted
    verify(store, manifest(store, state_of(store, "champion").version))


@pytest.mark.parametrize("first", [True, False])
def test_a_promotion_too_late_for_a_prune_is_reverted(store: Store, versions: list[str], first: bool) -> None:
    if not first:
        move_alias(store, "jokes", "champion", versions[1])
    late: list[bool] = []

    def meanwhile(params: dict[str, Any], **_: object) -> None:
        if not late and params["url_path"].endswith("champion.json"):
            late.append(True)
            prune(store, "jokes", 3, dry_run=False)

    chosen = manifest(store, versions[0])
    store.client.meta.events.register("before-call.s3.PutObject", meanwhile)
    with pytest.raises(UnavailableError, match="was just pruned"):
        promote(store, chosen, "champion")
    assert late
    assert versions[0] not in listed(store)
    aliases = list_aliases(store, "jokes")
    assert aliases.get("champion") is None if first else aliases["champion"].version == versions[1]
