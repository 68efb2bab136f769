"""The file of rows that Happy Transformer 2.x made with save_preprocessed_data and that 3.x no longer reads."""

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, TypeGuard

from tasks.dataset.text_files import read_json
from tasks.errors import InputError
from tasks.stage.folders import open_whole

Row = dict[str, list[int]]
"""One training example: input_ids, attention_mask and labels, three lists of one length."""

IGNORED_LABEL = -100
"""The label that losses skip (the default ignore_index of PyTorch's cross entropy)."""

_KEYS = ("attention_mask", "input_ids", "labels")
"""The keys of a row, in the order in which Happy Transformer 2.x writes them."""


def stream_rows(blocks: Iterable[Sequence[int]], *, block_size: int, pad_token_id: int) -> Iterator[Row]:
    """Yield one row per block, each list exactly block_size long.

    Padding is 0 in attention_mask and -100 in labels, and is known by its position: an end-of-text id in the block
    keeps its label even if it is the padding id as well. ValueError if a block is empty or too long.
    """
    for block in blocks:
        padding = block_size - len(block)
        if not 0 <= padding < block_size:
            raise ValueError(f"a block of {len(block)} ids does not fit a row of {block_size}")
        yield {
            "input_ids": [*block] + [pad_token_id] * padding,
            "attention_mask": [1] * len(block) + [0] * padding,
            "labels": [*block] + [IGNORED_LABEL] * padding,
        }


def write_preprocessed(
    path: Path, train_rows: Iterable[Mapping[str, Sequence[int]]], eval_rows: Iterable[Mapping[str, Sequence[int]]]
) -> None:
    """Write the file of Happy Transformer 2.x: {"train": [rows], "eval": [rows]}, one row per line.

    Rows are objects with attention_mask, input_ids and labels, in this order. The file is whole or absent;
    InputError if its folder is missing or cannot be written to.
    """
    with open_whole(path) as file:
        file.write(b'{"train": ')
        _write_rows(file, train_rows)
        file.write(b', "eval": ')
        _write_rows(file, eval_rows)
        file.write(b"}\n")


def read_preprocessed(
    path: Path, *, vocab_size: int | None = None, max_positions: int | None = None
) -> tuple[list[Row], list[Row]]:
    """Return the training and held-out rows of a file that Happy Transformer 2.x or write_preprocessed wrote.

    Of each row are checked: its three keys and no other, each a list of integers of the length of the first row; ids
    of 0 or more (labels also -100); a mask of 0 and 1.

    Args:
        path: the file; spaces and line ends in it do not matter.
        vocab_size: where given, ids must be below it.
        max_positions: where given, the most ids that a row may have.

    Raises:
        InputError: missing, not JSON (with line and column), no "train" or "eval", no training rows, or a row (named
            by its number from 1) that a model cannot be trained on.
    """
    content = read_json(path)
    if not isinstance(content, dict):
        raise InputError(f"{path}: holds a JSON {type(content).__name__} where an object is wanted; name another file")
    for name in ("train", "eval"):
        if not isinstance(content.get(name), list):
            raise InputError(
                f'{path}: "{name}" is missing or not a list of rows; wanted is {{"train": […], "eval": […]}}, '
                "as Happy Transformer 2.x writes it"
            )
    if not content["train"]:
        raise InputError(f'{path}: "train" has no rows; make the file again from a longer corpus')
    train, held_out = (
        _check_rows(content[name], where=f'{path}: "{name}"', vocab_size=vocab_size, max_positions=max_positions)
        for name in ("train", "eval")
    )
    return train, held_out


def _write_rows(file: BinaryIO, rows: Iterable[Mapping[str, Sequence[int]]]) -> None:
    """Write a JSON list with one row per line, without holding them all."""
    number = 0
    for number, row in enumerate(rows, start=1):
        line = json.dumps({key: list(row[key]) for key in _KEYS})
        file.write(f"{'[' if number == 1 else ','}\n{line}".encode())
    file.write(b"\n]" if number else b"[]")


def _check_rows(rows: list[object], *, where: str, vocab_size: int | None, max_positions: int | None) -> list[Row]:
    checked: list[Row] = []
    for number, row in enumerate(rows, start=1):
        name = f"{where} row {number:,}"
        checked.append(_check_shape(row, name))
        _check_length(checked[-1], len(checked[0]["input_ids"]), name, max_positions)
        _check_ids(checked[-1], name, vocab_size)
    return checked


def _check_shape(row: object, name: str) -> Row:
    if not isinstance(row, dict) or set(row) != set(_KEYS):
        got = ", ".join(map(str, row)) or "nothing" if isinstance(row, dict) else f"a JSON {type(row).__name__}"
        raise InputError(f"{name}: has {got} where {', '.join(_KEYS)} are wanted; make the file again")
    for key in _KEYS:
        if not _all_integers(row[key]):
            raise InputError(f"{name}: {key} is not a list of integers; make the file again")
    lengths = {key: len(row[key]) for key in _KEYS}
    if len(set(lengths.values())) > 1 or not lengths["input_ids"]:
        got = ", ".join(f"{length:,} in {key}" for key, length in lengths.items())
        raise InputError(f"{name}: has {got} where one length above 0 is wanted; make the file again")
    return {key: row[key] for key in _KEYS}


def _all_integers(value: object) -> TypeGuard[list[int]]:
    """Whether the value is a list of integers; true and 1.0 are not."""
    return isinstance(value, list) and all(type(item) is int for item in value)


def _check_length(row: Row, first: int, name: str, max_positions: int | None) -> None:
    length = len(row["input_ids"])
    if max_positions is not None and length > max_positions:
        raise InputError(
            f"{name}: has {length:,} ids, the model takes at most {max_positions:,}; "
            "make the file again with shorter blocks or choose another model"
        )
    if length != first:
        raise InputError(
            f"{name}: has {length:,} ids where row 1 has {first:,}; rows of one length are wanted, make the file again"
        )


def _check_ids(row: Row, name: str, vocab_size: int | None) -> None:
    limit = math.inf if vocab_size is None else vocab_size
    labels = [label for label in row["labels"] if label != IGNORED_LABEL]
    for key, ids in (("input_ids", row["input_ids"]), ("labels", labels)):
        foreign = next((token_id for token_id in ids if not 0 <= token_id < limit), None)
        if foreign is not None:
            known = "0 on" if vocab_size is None else f"0 to {vocab_size - 1:,}"
            raise InputError(
                f"{name}: {key} holds {foreign:,} where the vocabulary has ids from {known}; "
                "make the file again with this model's tokenizer"
            )
    if not set(row["attention_mask"]) <= {0, 1}:
        raise InputError(f"{name}: attention_mask holds other numbers than 0 and 1; make the file again")
