"""Is this list of rows one that a model can be trained on?

What comes in: a value out of a JSON file that someone else wrote. What it leaves: the same rows, checked, or one
sentence with the number of the first row that is wrong. Ragged or foreign rows otherwise end a training in
mid-epoch, or train on ids that mean other tokens.
"""

import math
from typing import TypeGuard

from tasks.dataset.packing import IGNORED_LABEL, Row
from tasks.errors import InputError

ROW_KEYS = ("attention_mask", "input_ids", "labels")
"""The keys of a row, in the order in which Happy Transformer 2.x writes them."""


def all_integers(value: object) -> TypeGuard[list[int]]:
    """Tell whether the value is a list of integers; true and 1.0 are none."""
    return isinstance(value, list) and all(type(item) is int for item in value)


def check_rows(value: object, *, where: str, vocab_size: int | None, max_positions: int | None) -> list[Row]:
    """Return the rows, all of one length, with ids of the vocabulary, or raise InputError naming where and which row.

    Checked of each row: the three keys of ROW_KEYS and no other, each a list of integers of the length of the first
    row, at most max_positions; ids from 0 to vocab_size - 1 (labels also -100); a mask of 0 and 1.
    """
    checked: list[Row] = []
    for number, row in enumerate(value if isinstance(value, list) else [], start=1):
        place = f"{where} row {number:,}"
        checked.append(_shaped(row, place))
        _check_length(checked[-1], len(checked[0]["input_ids"]), place, max_positions)
        _check_ids(checked[-1], place, vocab_size)
    return checked


def _shaped(row: object, place: str) -> Row:
    if not isinstance(row, dict) or set(row) != set(ROW_KEYS):
        got = ", ".join(map(str, row)) or "nothing" if isinstance(row, dict) else f"a JSON {type(row).__name__}"
        raise InputError(f"{place}: has {got} where {', '.join(ROW_KEYS)} are wanted; make the file again")
    for key in ROW_KEYS:
        if not all_integers(row[key]):
            raise InputError(f"{place}: {key} is not a list of integers; make the file again")
    lengths = {key: len(row[key]) for key in ROW_KEYS}
    if len(set(lengths.values())) > 1 or not lengths["input_ids"]:
        got = ", ".join(f"{length:,} in {key}" for key, length in lengths.items())
        raise InputError(f"{place}: has {got} where one length above 0 is wanted; make the file again")
    return {key: row[key] for key in ROW_KEYS}


def _check_length(row: Row, first: int, place: str, max_positions: int | None) -> None:
    length = len(row["input_ids"])
    if max_positions is not None and length > max_positions:
        raise InputError(
            f"{place}: has {length:,} ids, the model takes at most {max_positions:,}; "
            "make the file again with shorter blocks or choose another model"
        )
    if length != first:
        raise InputError(
            f"{place}: has {length:,} ids where row 1 has {first:,}; rows of one length are wanted, make the file again"
        )


def _check_ids(row: Row, place: str, vocab_size: int | None) -> None:
    limit = math.inf if vocab_size is None else vocab_size
    labels = [label for label in row["labels"] if label != IGNORED_LABEL]
    for key, ids in (("input_ids", row["input_ids"]), ("labels", labels)):
        foreign = next((token_id for token_id in ids if not 0 <= token_id < limit), None)
        if foreign is not None:
            known = "0 on" if vocab_size is None else f"0 to {vocab_size - 1:,}"
            raise InputError(
                f"{place}: {key} holds {foreign:,} where the vocabulary has ids from {known}; "
                "make the file again with this model's tokenizer"
            )
    if not set(row["attention_mask"]) <= {0, 1}:
        raise InputError(f"{place}: attention_mask holds other numbers than 0 and 1; make the file again")
