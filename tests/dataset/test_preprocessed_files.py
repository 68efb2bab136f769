"""Rows, and the file of Happy Transformer 2.x: it is written and read as 2.x does, and damage is named."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.dataset import IGNORED_LABEL, read_preprocessed, write_preprocessed
from tasks.errors import InputError
from tests.factories.rows import pack, rows

EOS = 0
DOCUMENTS = st.lists(st.lists(st.integers(0, 50), max_size=20), max_size=20)  # ids may equal the end-of-text id

# As json.dump of Happy Transformer 2.x leaves it: one line, keys in this order, labels = input_ids.
HAPPY_2 = (
    '{"train": [{"attention_mask": [1, 1, 1], "input_ids": [464, 3290, 318], "labels": [464, 3290, 318]}, '
    '{"attention_mask": [1, 1, 1], "input_ids": [7, 50256, 9], "labels": [7, 50256, 9]}], '
    '"eval": [{"attention_mask": [1, 1], "input_ids": [1, 2], "labels": [1, 2]}]}'
)


def preprocessed(path: Path, train: Any, held_out: Any = ()) -> Path:
    path.write_text(json.dumps({"train": train, "eval": held_out}))
    return path


def a_row(*ids: Any, **changed: Any) -> dict[str, Any]:
    return {"attention_mask": [1] * len(ids), "input_ids": list(ids), "labels": list(ids)} | changed


@given(DOCUMENTS, st.integers(1, 9), st.integers(0, 50))
def test_rows_have_one_length_and_a_label_for_every_token(
    documents: list[list[int]], block_size: int, pad_token_id: int
) -> None:
    blocks = pack(documents, eos_token_id=EOS, block_size=block_size)
    made = rows(blocks, block_size=block_size, pad_token_id=pad_token_id)
    assert {len(values) for row in made for values in row.values()} <= {block_size}
    labels = [label for row in made for label in row["labels"] if label != IGNORED_LABEL]
    assert labels == [i for block in blocks for i in block]
    for row, block in zip(made, blocks, strict=True):
        padding = block_size - len(block)
        assert row["input_ids"] == block + [pad_token_id] * padding
        assert row["attention_mask"] == [1] * len(block) + [0] * padding
        assert row["labels"] == block + [IGNORED_LABEL] * padding


def test_an_end_of_text_that_is_the_padding_id_keeps_its_label() -> None:
    (row,) = rows(pack([[5, 6]], eos_token_id=EOS, block_size=5), block_size=5, pad_token_id=EOS)
    assert row == {
        "input_ids": [5, 6, 0, 0, 0],
        "attention_mask": [1, 1, 1, 0, 0],
        "labels": [5, 6, 0, -100, -100],
    }


def test_packing_neither_changes_nor_keeps_the_documents_it_was_given() -> None:
    document = [1, 2]
    blocks = pack([document, document], eos_token_id=EOS, block_size=3)
    rows(blocks, block_size=4, pad_token_id=9)[0]["input_ids"].append(7)
    assert document == [1, 2]
    assert blocks == [[1, 2, 0], [1, 2, 0]]


@pytest.mark.parametrize("block", [[], [1, 2, 3]])
def test_a_block_that_does_not_fit_a_row_is_refused(block: list[int]) -> None:
    with pytest.raises(ValueError, match="does not fit a row of 2"):
        rows([block], block_size=2, pad_token_id=0)


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
