"""Concurrent publishers, with and without compare-and-swap, and wrong clocks."""

import dataclasses
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from threading import Barrier

import botocore.auth
import botocore.compat
import pytest

from tasks.errors import InputError, UnavailableError
from tasks.storage import conditional, failures
from tasks.storage.aliases import read_alias
from tasks.storage.conditional import find_etag_format
from tasks.storage.destination import open_store, parse_destination
from tasks.storage.fetch import fetch
from tasks.storage.publish import Published, publish
from tests.storage.conftest import Line, connected
from tests.storage.faults import Fault, answer_lost, answer_replaced, refused
from tests.storage.invariant import (
    assert_the_next_try_finishes,
    contents,
    publish_and_change,
    version_that_is_whole,
    watched,
)

pytestmark = pytest.mark.usefixtures("short_pauses")

PUBLISHERS = 6
SETTINGS = ("AWS_ENDPOINT_URL_S3", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")


@pytest.fixture(autouse=True)
def nothing_cached(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conditional, "_found", {})


def test_six_publishers_race_for_one_alias_and_each_learns_the_result(
    line: Line, release: Path, tmp_path: Path
) -> None:
    first = publish_and_change(line.direct, release)
    swaps = find_etag_format(line.direct, "jokes") is not None
    start = Barrier(PUBLISHERS)

    def race(number: int) -> Published | UnavailableError:
        folder = tmp_path / f"release-{number}"
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps({"layers": number}))
        with connected(line.endpoint, line.direct.prefix) as mine:
            start.wait(60)
            try:
                return publish(mine, folder, "jokes")
            except UnavailableError as error:
                return error

    with watched(line), ThreadPoolExecutor(PUBLISHERS) as pool:
        ends = list(pool.map(race, range(PUBLISHERS)))
    published = {end.version for end in ends if isinstance(end, Published)}
    alias = read_alias(line.direct, "jokes", "latest")
    assert alias is not None
    assert version_that_is_whole(line.direct) == alias.version != first
    assert alias.version in published or not swaps
    assert not swaps or (len(published), alias.seq) == (PUBLISHERS, PUBLISHERS + 1)
    for version in published:
        assert fetch(line.direct, "jokes", version, tmp_path / "fetched" / version).version == version
    publish(line.direct, release, "jokes")
    fetch(line.direct, "jokes", "latest", tmp_path / "target")
    assert contents(tmp_path / "target") == contents(release)


@pytest.mark.parametrize("act", [answer_lost, answer_replaced, refused(503, "SlowDown")])
@pytest.mark.parametrize("method", ["PUT", "HEAD", "DELETE"])
def test_a_fault_during_the_probe_does_not_hide_conditional_puts(
    line: Line, act: Callable[[object], None], method: str
) -> None:
    swaps = find_etag_format(line.direct, "jokes") is not None
    line.gate.faults.append(fault := Fault(act, method, ".json"))
    assert (find_etag_format(line.through, "jokes") is not None) == swaps
    assert fault.hits or not swaps


def test_publishing_works_without_permission_to_delete(line: Line, release: Path, tmp_path: Path) -> None:
    first = publish_and_change(line.direct, release)
    line.gate.faults.append(fault := Fault(refused(403, "AccessDenied"), "DELETE", ".json").lasting())
    assert_the_next_try_finishes(line.through, release, first, tmp_path / "target")
    assert fault.hits


@pytest.mark.parametrize("days", [-2, 2])
def test_a_wrong_clock_is_named_and_nothing_is_written(
    line: Line, release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, days: int
) -> None:
    first = publish_and_change(line.direct, release)
    for variable, value in zip(SETTINGS, dataclasses.astuple(line.endpoint), strict=True):
        monkeypatch.setenv(variable, value)
    with monkeypatch.context() as patch:
        for module in (botocore.auth, failures):
            patch.setattr(module, "get_current_datetime", skewed_by(timedelta(days=days)))
        with pytest.raises(InputError, match="refused GetObject: the clock of this machine is wrong"):
            read_alias(line.direct, "jokes", "latest")
        with (
            pytest.raises(InputError, match="refused HeadObject: the clock of this machine is wrong"),
            line.direct.explain_errors(),
        ):
            line.direct.client.head_object(Bucket=line.direct.bucket, Key="any")
        with pytest.raises(InputError, match="clock"), open_store(parse_destination(line.direct.location)):
            pass
        with pytest.raises(InputError, match="clock"):
            publish(line.direct, release, "jokes")
    assert version_that_is_whole(line.direct) == first
    assert_the_next_try_finishes(line.direct, release, first, tmp_path / "target")


def skewed_by(ahead: timedelta) -> Callable[..., datetime]:
    """The clock that signs the requests."""

    def skewed(remove_tzinfo: bool = True) -> datetime:
        return botocore.compat.get_current_datetime(remove_tzinfo) + ahead

    return skewed


@pytest.mark.parametrize("when", ["0001-01-01T00:00:00+00:00", "9999-12-31T23:59:59+00:00"])
def test_aliases_are_ordered_by_seq_not_by_time(line: Line, release: Path, tmp_path: Path, when: str) -> None:
    first = publish_and_change(line.direct, release)
    key = line.direct.key("jokes", "aliases", "latest.json")
    data = line.direct.read(key)
    assert data is not None
    line.direct.write(key, json.dumps(json.loads(data) | {"published_at": when}).encode())
    assert_the_next_try_finishes(line.direct, release, first, tmp_path / "target")
