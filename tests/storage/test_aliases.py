"""Aliases: concurrent publishers are counted one after the other where the store has conditional PUTs."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from io import BytesIO
from threading import Barrier
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from botocore.exceptions import ReadTimeoutError
from urllib3 import HTTPResponse

from tasks.errors import UnavailableError
from tasks.storage import conditional
from tasks.storage.aliases import Alias, move_alias, read_alias
from tasks.storage.conditional import find_etag_format
from tasks.storage.embedded_server import Endpoint
from tasks.storage.store import Store
from tests.storage.conftest import connected

ONE, TWO = "1" * 64, "2" * 64


@pytest.fixture
def swapping(seaweed_endpoint: Endpoint) -> Iterator[Store]:
    """A store that has conditional PUTs."""
    with connected(seaweed_endpoint) as store:
        yield store


@pytest.fixture(autouse=True)
def nothing_cached(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conditional, "_found", {})


def test_conditional_puts_are_detected_and_the_probe_is_removed(swapping: Store, store: Store) -> None:
    etag_format = find_etag_format(swapping, "jokes")
    assert etag_format is not None
    assert find_etag_format(store, "jokes") is None, "rclone ignores the headers"
    for one in (swapping, store):
        assert one.client.list_objects_v2(Bucket=one.bucket, Prefix=one.prefix).get("Contents", []) == []


def test_a_store_is_probed_once_per_process(swapping: Store) -> None:
    calls: list[str] = []
    swapping.client.meta.events.register("before-call.s3.PutObject", lambda **_: calls.append("put"))
    find_etag_format(swapping, "jokes")
    tried = len(calls)
    find_etag_format(swapping, "jokes")
    assert len(calls) == tried > 0


@pytest.mark.parametrize("status", [400, 501])
def test_a_store_that_does_not_know_the_headers_gets_unconditional_puts(swapping: Store, status: int) -> None:
    events: Any = swapping.client.meta.events
    events.register("before-send.s3.PutObject", partial(_refuse_conditions, status=status))
    assert move_alias(swapping, "jokes", "latest", ONE).seq == 1
    assert move_alias(swapping, "jokes", "latest", TWO).previous == ONE
    assert find_etag_format(swapping, "jokes") is None


def _refuse_conditions(request: Any, *, status: int, **_: object) -> AWSResponse | None:
    conditional_headers = {"If-None-Match", "If-Match"} & set(request.headers)
    return (
        AWSResponse(request.url, status, HTTPHeaders(), HTTPResponse(BytesIO(), preload_content=False))
        if conditional_headers
        else None
    )


def test_six_publishers_at_once_are_all_counted(seaweed_endpoint: Endpoint, swapping: Store) -> None:
    find_etag_format(swapping, "jokes")
    start = Barrier(6)

    def publish(number: int) -> Alias:
        with connected(seaweed_endpoint, swapping.prefix) as mine:
            start.wait()
            return move_alias(mine, "jokes", "latest", f"{number:064x}")

    with ThreadPoolExecutor(6) as pool:
        moves = sorted(pool.map(publish, range(6)), key=lambda move: move.seq)
    assert [move.seq for move in moves] == [1, 2, 3, 4, 5, 6]
    assert [move.previous for move in moves] == [None, *(move.version for move in moves[:-1])]
    assert read_alias(swapping, "jokes", "latest") == moves[-1]


def test_an_alias_that_moved_between_reading_and_writing_is_read_again(
    seaweed_endpoint: Endpoint, swapping: Store
) -> None:
    move_alias(swapping, "jokes", "latest", ONE)
    overtaken: list[Alias] = []

    def overtake(params: dict[str, Any], **_: object) -> None:
        if not overtaken and params["url_path"].endswith("aliases/latest.json"):
            with connected(seaweed_endpoint, swapping.prefix) as other:
                overtaken.append(move_alias(other, "jokes", "latest", TWO))

    swapping.client.meta.events.register("before-call.s3.PutObject", overtake)
    moved = move_alias(swapping, "jokes", "latest", "3" * 64)
    assert overtaken[0].seq == 2
    assert (moved.seq, moved.previous) == (3, TWO)


@pytest.mark.parametrize("already", [False, True])
def test_a_move_whose_response_was_lost_is_made_once(swapping: Store, already: bool) -> None:
    if already:
        move_alias(swapping, "jokes", "latest", ONE)
    find_etag_format(swapping, "jokes")
    lost: list[bool] = []

    def lose(**_: object) -> None:
        if not lost:
            lost.append(True)
            raise ReadTimeoutError(endpoint_url="a store")

    swapping.client.meta.events.register("after-call.s3.PutObject", lose)
    moved = move_alias(swapping, "jokes", "latest", TWO)
    assert lost
    assert (moved.version, moved.seq) == (TWO, 2 if already else 1)
    assert read_alias(swapping, "jokes", "latest") == moved


def test_an_alias_that_others_keep_moving_is_an_error(swapping: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.storage.aliases._TRIES", 3)
    monkeypatch.setattr("tasks.storage.aliases._PAUSE_S", 0)
    refused: list[str] = []

    def refuse(self: Store, key: str, data: bytes, *, etag: str | None) -> bool:
        refused.append(key)
        return False

    monkeypatch.setattr(Store, "compare_and_swap", refuse)
    with pytest.raises(UnavailableError, match="moved by other publishers again and again"):
        move_alias(swapping, "jokes", "latest", ONE)
    assert len(refused) == 3
