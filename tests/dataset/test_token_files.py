"""Files of token blocks are readable and come back unchanged, and damage is named in one sentence."""

import json
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.dataset import Header, PreviewEntry, read_block_array, stream_blocks, write_blocks, write_preview
from tasks.errors import InputError

HEADER = Header(block_size=4, eos_token_id=0, pad_token_id=7, tokens=8)
HEAD = '{"block_size":4,"eos_token_id":0,"pad_token_id":7,"tokens":8,"blocks":['
BLOCKS = [[10, 0, 7, 305], [1], [2**31 - 1, 2, 3]]


def read(path: Path) -> tuple[Header, list[list[int]]]:
    header, blocks = stream_blocks(path)
    return header, list(blocks)


def as_json(content: bytes) -> Any:
    """What a file holds by the JSON parser of Python, as `read` returns it."""
    found = json.loads(content)
    blocks = found.pop("blocks")
    return Header(**found), blocks


def test_blocks_are_written_one_per_line_below_the_header(tmp_path: Path) -> None:
    path = tmp_path / "train.json"
    assert write_blocks(path, BLOCKS, HEADER) == 3
    assert path.read_text().splitlines() == [HEAD, "[10,0,7,305],", "[1],", "[2147483647,2,3]", "]}"]
    assert as_json(path.read_bytes()) == read(path) == (HEADER, BLOCKS)


@settings(deadline=None)
@given(st.lists(st.lists(st.integers(0, 2**31 - 1), min_size=1, max_size=5), max_size=6), st.integers(5, 7))
def test_blocks_come_back_padded_with_their_lengths(
    tmp_path_factory: pytest.TempPathFactory, blocks: list[list[int]], size: int
) -> None:
    path, same = (tmp_path_factory.mktemp("blocks") / "train.json" for _ in range(2))
    write_blocks(path, blocks, HEADER)
    write_blocks(same, (np.array(block, dtype=np.int32) for block in blocks), HEADER)
    assert path.read_bytes() == same.read_bytes()
    assert read(path) == (HEADER, blocks)
    found = read_block_array(path, blocks=len(blocks), block_size=size)
    assert {found.ids.dtype, found.lengths.dtype} == {np.dtype(np.int32)}
    assert found.ids.tolist() == [block + [7] * (size - len(block)) for block in blocks]
    assert found.lengths.tolist() == [len(block) for block in blocks]


DAMAGED = [
    ("", "the first line is not the header of a file of blocks"),
    ("{\n", "the first line is not the header of a file of blocks"),
    ("[[1]]", "the first line is not the header of a file of blocks"),
    (HEAD.replace('"tokens":8,', "") + "\n[1]\n]}\n", "the first line is not the header"),
    (HEAD.replace("{", '{"of":1,') + "\n[1]\n]}\n", "the first line is not the header"),
    (HEAD.replace(":8", ":true") + "\n[1]\n]}\n", "the first line is not the header"),
    (HEAD.replace(":8", ':"8"') + "\n[1]\n]}\n", "the first line is not the header"),
    (HEAD.replace(":8", ":-8") + "\n[1]\n]}\n", "the first line is not the header"),
    (HEAD.replace(":7", ":2147483648") + "\n[1]\n]}\n", "the first line is not the header"),
    ("[" * 200_000, "the first line is not the header"),
    (HEAD, "the list of blocks has no end"),
    (HEAD + "\n", "the list of blocks has no end"),
    (HEAD + "\n[1]\n", "the list of blocks has no end"),
    (HEAD + "\n[1]\n]}\nx", "the list of blocks has no end"),
    (HEAD + "\n[1]\n[2]\n]}\n", "the list of blocks has no end"),
    (HEAD + "\n[1],\n]}\n", "block 2 is not a list of token ids"),
    (HEAD + "\n[1,2],\n[3", "block 2 is not a list of token ids"),
    (HEAD + "\n[1],\n[2.0]\n]}\n", "block 2 is not a list of token ids"),
    (HEAD + "\n[1],\n[true]\n]}\n", "block 2 is not a list of token ids"),
    (HEAD + "\n[-1]\n]}\n", "block 1 is not a list of token ids"),
    (HEAD + "\n[]\n]}\n", "block 1 is not a list of token ids"),
    (HEAD + "\n7\n]}\n", "block 1 is not a list of token ids"),
    (HEAD + '\n{"a":1}\n]}\n', "block 1 is not a list of token ids"),
    (HEAD + "\n[2147483648]\n]}\n", "block 1 is not a list of token ids"),
    (HEAD + "\n[\xff]\n]}\n", "block 1 is not a list of token ids"),
]


@pytest.mark.parametrize(("content", "says"), DAMAGED, ids=range(len(DAMAGED)))
def test_damage_is_named_in_one_sentence(tmp_path: Path, content: str, says: str) -> None:
    path = tmp_path / "train.json"
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(InputError, match=says) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert str(caught.value).endswith("; the file is damaged, make it again")
    with pytest.raises(InputError, match=says):
        read_block_array(path, blocks=2, block_size=4)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gone\.json: there is no such file"):
        read(tmp_path / "gone.json")


def test_a_file_cut_off_anywhere_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "train.json"
    write_blocks(path, BLOCKS, HEADER)
    good = path.read_bytes()
    for end in range(len(good)):
        path.write_bytes(good[:end])
        with pytest.raises(InputError, match="damaged, make it again"):
            read(path)


def test_a_file_changed_in_any_byte_is_damaged_or_what_its_json_says(tmp_path: Path) -> None:
    path = tmp_path / "train.json"
    write_blocks(path, [[10, 0], [305]], HEADER)
    good = path.read_bytes()
    changed = [good[:at] + bytes([new]) + good[at + 1 :] for at in range(len(good)) for new in b'0-.e], \n"\xff}']
    for content in [*changed, good + b"x", good + b"\n", good.replace(b"305", b"9" * 30)]:
        path.write_bytes(content)
        try:
            found = read(path)
        except InputError as error:
            assert str(path) in str(error)  # noqa: PT017
        else:
            assert found == as_json(content), content


@pytest.mark.parametrize(
    ("blocks", "says"),
    [
        (BLOCKS[:2], "holds 2 blocks where 3 are wanted"),
        ([*BLOCKS, [1], [2]], "holds 5 blocks where 3 are wanted"),
        ([[1], [1, 2, 3, 4, 5], [2]], "block 2 has 5 ids where 4 are the most"),
    ],
)
def test_blocks_that_are_not_those_of_the_reference_are_named(
    tmp_path: Path, blocks: list[list[int]], says: str
) -> None:
    path = tmp_path / "train.json"
    write_blocks(path, blocks, HEADER)
    with pytest.raises(InputError, match=says):
        read_block_array(path, blocks=3, block_size=4)


def test_reading_needs_four_bytes_per_token_and_little_more(tmp_path: Path) -> None:
    path = tmp_path / "train.json"
    blocks = np.random.default_rng(0).integers(0, 50_000, (4000, 128), dtype=np.int32)
    write_blocks(path, blocks, replace(HEADER, block_size=128))
    tracemalloc.start()
    found = read_block_array(path, blocks=4000, block_size=128)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.ids.nbytes == 2_048_000
    assert peak < 2.5e6


def test_a_preview_shows_the_text_then_tokens_beside_their_ids(tmp_path: Path) -> None:
    path = tmp_path / "preview.json"
    entries: list[PreviewEntry] = [
        {"text": "you\n\u00e9", "tokens": ["\u2581you", '"'], "ids": [123, 5]},
        {"text": "long", "tokens": ["\u2581word"] * 40, "ids": list(range(40))},
        {"text": "", "tokens": [], "ids": []},
    ]
    write_preview(path, entries)
    content = path.read_text(encoding="utf-8")
    assert '["\u2581you", 123], ["\\"", 5]' in content
    assert max(map(len, content.splitlines())) <= 110
    assert [entry["text"] for entry in json.loads(content)] == ["you\n\u00e9", "long", ""]
    assert json.loads(content)[1]["tokens"] == [["\u2581word", number] for number in range(40)]
    assert json.loads(content)[2]["tokens"] == []


def test_a_preview_of_unequal_tokens_and_ids_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="zip"):
        write_preview(tmp_path / "preview.json", [{"text": "a", "tokens": ["a"], "ids": []}])
    assert not list(tmp_path.iterdir())
