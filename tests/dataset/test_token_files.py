"""Claims about the JSON of token ids: readable, unchanged when it comes back, and damaged files are named."""

import json
from pathlib import Path
from typing import Any

import pytest

from tasks.dataset import (
    PreviewEntry,
    TokenFile,
    read_blocks,
    read_preprocessed,
    write_blocks,
    write_preprocessed,
    write_preview,
)
from tasks.errors import InputError
from tests.factories.rows import pack, rows

# As json.dump of Happy Transformer 2.x leaves it: one line, keys in this order, labels = input_ids.
HAPPY_2 = (
    '{"train": [{"attention_mask": [1, 1, 1], "input_ids": [464, 3290, 318], "labels": [464, 3290, 318]}, '
    '{"attention_mask": [1, 1, 1], "input_ids": [7, 50256, 9], "labels": [7, 50256, 9]}], '
    '"eval": [{"attention_mask": [1, 1], "input_ids": [1, 2], "labels": [1, 2]}]}'
)

DAMAGED = [
    ('{"blocks": [\n[1, 2],\n[3', r"train\.json:3:3: not JSON"),
    ("[[1]]", "holds a JSON list where an object is wanted"),
    ('{"block_size": 2}', '"blocks" is missing'),
    ('{"blocks": 7}', '"blocks" is missing or not a list'),
    ('{"blocks": [[1], [2.0]]}', "block 2 is not a list of token ids"),
    ('{"blocks": [[1], [true]]}', "block 2 is not a list of token ids"),
    ('{"blocks": [[-1]]}', "block 1 is not a list of token ids"),
    ('{"blocks": [[]]}', "block 1 is not a list of token ids"),
    ('{"blocks": [7]}', "block 1 is not a list of token ids"),
    ('{"of": null, "blocks": [[1]]}', "'of' is neither an integer nor text"),
    ('{"of": true, "blocks": [[1]]}', "'of' is neither an integer nor text"),
    ("[" * 200_000, "not JSON that can be read"),
    (b'{\n"of": "\xff"}', r"train\.json:2: byte 0xff at offset 9 of the file is not UTF-8"),
]


def preprocessed(path: Path, train: Any, held_out: Any = ()) -> Path:
    path.write_text(json.dumps({"train": train, "eval": held_out}))
    return path


def a_row(*ids: Any, **changed: Any) -> dict[str, Any]:
    return {"attention_mask": [1] * len(ids), "input_ids": list(ids), "labels": list(ids)} | changed


def test_blocks_come_back_under_their_header(tmp_path: Path) -> None:
    path = tmp_path / "train.json"
    header: dict[str, int | str] = {"block_size": 3, "tokenizer": "caf\u00e9 \u2581", "eos_token_id": 0}
    blocks = pack([[1, 2], [3, 4]], eos_token_id=0, block_size=4)
    write_blocks(path, blocks, header)
    assert read_blocks(path) == TokenFile(header=header, blocks=blocks)


def test_blocks_are_written_one_a_line_below_the_header(tmp_path: Path) -> None:
    path = tmp_path / "train.json"
    write_blocks(path, [[1, 2], [3]], {"block_size": 2, "of": "a"})
    lines = ["{", '  "block_size": 2,', '  "of": "a",', '  "blocks": [', "  [1, 2],", "  [3]", "  ]", "}", ""]
    assert path.read_bytes() == "\n".join(lines).encode()


@pytest.mark.parametrize("header", [{}, {"block_size": 2}])
def test_no_blocks_come_back_as_none(tmp_path: Path, header: dict[str, int | str]) -> None:
    write_blocks(tmp_path / "none.json", [], header)
    assert read_blocks(tmp_path / "none.json") == TokenFile(header=header, blocks=[])


def test_a_header_may_not_hide_the_blocks(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="may not have a key"):
        write_blocks(tmp_path / "train.json", [], {"blocks": 1})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("content", "says"), DAMAGED)
def test_damaged_blocks_are_named_in_one_sentence(tmp_path: Path, content: str | bytes, says: str) -> None:
    path = tmp_path / "train.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=says) as caught:
        read_blocks(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_blocks_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gone\.json: there is no such file"):
        read_blocks(tmp_path / "gone.json")


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


def test_a_file_of_happy_transformer_2_is_read(tmp_path: Path) -> None:
    path = tmp_path / "preprocessed-data.json"
    path.write_text(HAPPY_2)
    train, held_out = read_preprocessed(path, vocab_size=50_257, max_positions=3)
    assert [row["labels"] for row in train] == [[464, 3290, 318], [7, 50256, 9]]
    assert held_out == [{"attention_mask": [1, 1], "input_ids": [1, 2], "labels": [1, 2]}]


def test_preprocessed_rows_come_back_in_the_order_and_shape_of_2(tmp_path: Path) -> None:
    path = tmp_path / "preprocessed-data.json"
    train = rows(pack([[1, 2], [3]], eos_token_id=0, block_size=3), block_size=3, pad_token_id=0)
    write_preprocessed(path, train, train[:1])
    assert read_preprocessed(path, vocab_size=4, max_positions=3) == (train, train[:1])
    content = json.loads(path.read_text())
    assert list(content) == ["train", "eval"]
    assert [list(row) for row in content["train"]] == [["attention_mask", "input_ids", "labels"]] * 2
    starts = [line[:10] for line in path.read_text().splitlines()]
    assert starts == ['{"train": ', '{"attentio', '{"attentio', '], "eval":', '{"attentio', "]}"]


def test_no_held_out_rows_are_allowed(tmp_path: Path) -> None:
    path = tmp_path / "preprocessed-data.json"
    write_preprocessed(path, [a_row(1)], [])
    assert read_preprocessed(path) == ([a_row(1)], [])


@pytest.mark.parametrize(
    ("train", "held_out", "says"),
    [
        ([], [], '"train" has no rows'),
        (7, [], '"train" is missing or not a list of rows'),
        ([a_row(1)], None, '"eval" is missing or not a list of rows'),
        ([a_row(1, 2), a_row(3)], [], '"train" row 2: has 1 ids where row 1 has 2'),
        ([a_row(1)], [a_row(1), a_row(2, 3)], '"eval" row 2: has 2 ids where row 1 has 1'),
        ([a_row(1, 2, labels=[1])], [], '"train" row 1: has 2 in attention_mask, 2 in input_ids, 1 in labels'),
        ([a_row()], [], '"train" row 1: has 0 in attention_mask'),
        ([a_row(1), [1]], [], '"train" row 2: has a JSON list where attention_mask, input_ids, labels are wanted'),
        ([{"input_ids": [1]}], [], '"train" row 1: has input_ids where attention_mask'),
        ([{}], [], '"train" row 1: has nothing where attention_mask'),
        ([a_row(1, token_type_ids=[0])], [], '"train" row 1: has .*token_type_ids where'),
        ([a_row(1), a_row("a")], [], '"train" row 2: input_ids is not a list of integers'),
        ([a_row(1.5)], [], '"train" row 1: input_ids is not a list of integers'),
        ([a_row(1, attention_mask=[True])], [], '"train" row 1: attention_mask is not a list of integers'),
        ([a_row(1, labels=None)], [], '"train" row 1: labels is not a list of integers'),
        ([a_row(1), a_row(10)], [], '"train" row 2: input_ids holds 10 where the vocabulary has ids from 0 to 9'),
        ([a_row(-1)], [], '"train" row 1: input_ids holds -1'),
        ([a_row(-100)], [], '"train" row 1: input_ids holds -100'),
        ([a_row(1, labels=[10])], [], '"train" row 1: labels holds 10'),
        ([a_row(1, labels=[-1])], [], '"train" row 1: labels holds -1'),
        ([a_row(1)], [a_row(1, attention_mask=[2])], '"eval" row 1: attention_mask holds other numbers than 0 and 1'),
        ([a_row(1, 2, 3, 4, 5)], [], '"train" row 1: has 5 ids, the model takes at most 4'),
    ],
)
def test_rows_that_no_model_can_be_trained_on_are_named(tmp_path: Path, train: Any, held_out: Any, says: str) -> None:
    path = preprocessed(tmp_path / "preprocessed-data.json", train, held_out)
    with pytest.raises(InputError, match=says) as caught:
        read_preprocessed(path, vocab_size=10, max_positions=4)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_without_a_model_only_negative_ids_are_foreign(tmp_path: Path) -> None:
    path = preprocessed(tmp_path / "preprocessed-data.json", [a_row(*range(10_000), labels=[-100] * 10_000)])
    assert len(read_preprocessed(path)[0]) == 1
    with pytest.raises(InputError, match="input_ids holds -1 where the vocabulary has ids from 0 on"):
        read_preprocessed(preprocessed(path, [a_row(-1)]))


def test_a_preprocessed_file_that_is_missing_cut_off_or_incomplete_is_named(tmp_path: Path) -> None:
    path = tmp_path / "preprocessed-data.json"
    with pytest.raises(InputError, match="there is no such file"):
        read_preprocessed(path)
    path.write_text(HAPPY_2[:-1])
    with pytest.raises(InputError, match=rf"preprocessed-data\.json:1:{len(HAPPY_2)}: not JSON"):
        read_preprocessed(path)
    path.write_text('{"train": [{"attention_mask": [1], "input_ids": [1], "labels": [1]}]}')
    with pytest.raises(InputError, match='"eval" is missing'):
        read_preprocessed(path)
    path.write_text('{"eval": []}')
    with pytest.raises(InputError, match='"train" is missing'):
        read_preprocessed(path)
