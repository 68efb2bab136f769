"""Claims about blocks as arrays: a file of any layout comes back, damage is told as read_blocks tells it."""

import json
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.dataset import block_arrays, read_block_array, read_blocks, stream_blocks, write_blocks
from tasks.errors import InputError
from tests.dataset.test_token_files import DAMAGED

HEADER: dict[str, int | str] = {"block_size": 4, "pad_token_id": 7, "of": "caf\u00e9"}
BLOCKS = [[10, 0, 7, 305], [1], [2**31 - 1, 2, 3]]


def outcome(path: Path, read: Any) -> Any:
    """What a reader finds, or the sentence it fails with."""
    try:
        return read(path)
    except InputError as error:
        return str(error)


def whole(path: Path) -> Any:
    file = read_blocks(path)
    return file.header, file.blocks


def streamed(path: Path) -> Any:
    header, blocks = stream_blocks(path)
    return header, list(blocks)


@settings(deadline=None)
@given(st.lists(st.lists(st.integers(0, 2**31 - 1), min_size=1, max_size=5), max_size=6), st.integers(5, 7))
def test_blocks_come_back_padded_with_their_lengths(
    tmp_path_factory: pytest.TempPathFactory, blocks: list[list[int]], size: int
) -> None:
    path = tmp_path_factory.mktemp("blocks") / "train.json"
    write_blocks(path, blocks, HEADER)
    found = read_block_array(path, blocks=len(blocks), block_size=size)
    assert {found.ids.dtype, found.lengths.dtype} == {np.dtype(np.int32)}
    assert found.ids.tolist() == [block + [7] * (size - len(block)) for block in blocks]
    assert found.lengths.tolist() == [len(block) for block in blocks]


@pytest.mark.parametrize("indent", [None, 0, 1])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_any_layout_of_the_same_json_is_read(tmp_path: Path, indent: int | None, mark: str) -> None:
    path = tmp_path / "train.json"
    path.write_text(mark + json.dumps({"blocks": BLOCKS, **HEADER}, indent=indent), encoding="utf-8")
    assert streamed(path) == (HEADER, BLOCKS)
    assert read_block_array(path, blocks=3, block_size=4).ids[0].tolist() == BLOCKS[0]


def test_a_file_of_write_blocks_is_never_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "train.json"
    write_blocks(path, BLOCKS, HEADER)
    monkeypatch.delattr(block_arrays, "read_blocks")
    assert streamed(path) == (HEADER, BLOCKS)


@pytest.mark.parametrize(("content", "says"), DAMAGED)
def test_damage_is_named_as_read_blocks_names_it(tmp_path: Path, content: str | bytes, says: str) -> None:
    path = tmp_path / "train.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=says):
        streamed(path)
    assert outcome(path, streamed) == outcome(path, whole)


def test_a_file_cut_off_anywhere_or_changed_in_any_byte_is_what_read_blocks_says_it_is(tmp_path: Path) -> None:
    path = tmp_path / "train.json"
    write_blocks(path, [[10, 0], [305]], {"block_size": 2, "of": "a"})
    good = path.read_bytes()
    cut = [good[:end] for end in range(len(good))]
    changed = [good[:at] + bytes([new]) + good[at + 1 :] for at in range(len(good)) for new in b'0-.e], \n"\xff}']
    for content in [*cut, *changed, good + b"x", good + b"\n", good.replace(b"305", b"9" * 30)]:
        path.write_bytes(content)
        assert outcome(path, streamed) == outcome(path, whole), content


@pytest.mark.parametrize(
    ("header", "blocks", "says"),
    [
        ({"block_size": 4}, BLOCKS, '"pad_token_id" is missing or no token id'),
        ({"pad_token_id": "7"}, BLOCKS, '"pad_token_id" is missing or no token id'),
        (HEADER, BLOCKS[:2], "holds 2 blocks where 3 are wanted"),
        (HEADER, [*BLOCKS, [1], [2]], "holds 5 blocks where 3 are wanted"),
        (HEADER, [[1], [1, 2, 3, 4, 5], [2]], "block 2 has 5 ids where 4 are the most"),
        (HEADER, [[1], [2], [3, 2**31]], "block 3 holds 2,147,483,648, which no vocabulary has"),
    ],
)
def test_blocks_that_are_not_those_of_the_reference_are_named(
    tmp_path: Path, header: Any, blocks: list[list[int]], says: str
) -> None:
    path = tmp_path / "train.json"
    write_blocks(path, blocks, header)
    with pytest.raises(InputError, match=says):
        read_block_array(path, blocks=3, block_size=4)


def test_reading_needs_four_bytes_a_token_and_little_more(tmp_path: Path) -> None:
    path = tmp_path / "train.json"
    write_blocks(path, np.random.default_rng(0).integers(0, 50_000, (4000, 128), dtype=np.int32), {"pad_token_id": 0})
    tracemalloc.start()
    found = read_block_array(path, blocks=4000, block_size=128)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.ids.nbytes == 2_048_000
    assert peak < 2.5e6
