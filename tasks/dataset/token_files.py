"""Token blocks on disk as JSON that people can read: blocks, a preview, and Happy Transformer 2.x's own file.

What comes in: blocks or rows of token ids. What it leaves: valid JSON, one block or row a line, whole or absent.
A header says what the ids mean (tokenizer, block size, digests); the caller chooses its keys.
The last pair reads and writes the file that Happy Transformer 2.x made with save_preprocessed_data and that 3.x lost.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TextIO, TypedDict

from tasks.dataset.id_texts import IdTexts
from tasks.dataset.packing import Row
from tasks.dataset.row_checks import ROW_KEYS, all_integers, check_rows
from tasks.dataset.text_files import read_json, write_whole
from tasks.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Header = dict[str, int | str]
"""What the blocks are, as the caller of write_blocks said it."""

_PREVIEW_WIDTH = 100


@dataclass(frozen=True, slots=True)
class TokenFile:
    """What read_blocks found: the header as it was written, and the blocks in order."""

    header: Header
    blocks: list[list[int]]


class PreviewEntry(TypedDict):
    """One document: its text, and its tokens and ids, which run in step."""

    text: str
    tokens: Sequence[str]
    ids: Sequence[int]


def write_blocks(
    path: Path, blocks: "Iterable[Sequence[int] | NDArray[np.int32]]", header: Mapping[str, int | str]
) -> int:
    """Write a JSON object: the header's keys in order, then "blocks" with one block a line; return how many blocks.

    ValueError if the header has a key "blocks"; InputError if the folder is missing or cannot be written to.
    """
    if "blocks" in header:
        raise ValueError('the header may not have a key "blocks": the blocks themselves are written there')
    with write_whole(path) as stream:
        stream.write("{\n")
        for key, value in header.items():
            stream.write(f"  {_compact(key)}: {_compact(value)},\n")
        stream.write('  "blocks": ')
        written = _write_list(stream, map(IdTexts().list_of, blocks), indent="  ")
        stream.write("\n}\n")
    return written


def read_blocks(path: Path) -> TokenFile:
    """Return what write_blocks wrote; InputError with the file (and block) if it is missing or damaged."""
    content = _read_object(path)
    blocks = content.pop("blocks", None)
    if not isinstance(blocks, list):
        raise InputError(f'{path}: "blocks" is missing or not a list; the file is damaged, make it again')
    for number, block in enumerate(blocks, start=1):
        if not (block and all_integers(block) and min(block) >= 0):
            raise InputError(
                f"{path}: block {number:,} is not a list of token ids (integers from 0 on); "
                "the file is damaged, make it again"
            )
    return TokenFile(header=check_header(path, content), blocks=blocks)


def check_header(path: Path, content: Mapping[str, object]) -> Header:
    """Return the header if all its values are integers or text; else InputError naming the file and the key."""
    header: Header = {}
    for key, value in content.items():
        if isinstance(value, bool) or not isinstance(value, int | str):
            raise InputError(f"{path}: {key!r} is neither an integer nor text; the file is damaged, make it again")
        header[key] = value
    return header


def write_preview(path: Path, entries: Iterable[PreviewEntry]) -> None:
    """Write a JSON list for reading: each document's text, then its tokens as ["token", id] pairs, many a line.

    ValueError if an entry has not as many ids as tokens; InputError if the folder is missing or not writable.
    """
    with write_whole(path) as stream:
        _write_list(stream, (f"  {_preview_object(entry)}" for entry in entries), indent="")
        stream.write("\n")


def write_preprocessed(
    path: Path, train_rows: Iterable[Mapping[str, Sequence[int]]], eval_rows: Iterable[Mapping[str, Sequence[int]]]
) -> None:
    """Write the file of Happy Transformer 2.x: {"train": [rows], "eval": [rows]}, one row a line.

    Rows are objects with attention_mask, input_ids and labels, in this order. The file is whole or absent;
    InputError if its folder is missing or cannot be written to.
    """
    with write_whole(path) as stream:
        stream.write('{"train": ')
        _write_list(stream, map(_row_line, train_rows), indent="")
        stream.write(', "eval": ')
        _write_list(stream, map(_row_line, eval_rows), indent="")
        stream.write("}\n")


def read_preprocessed(
    path: Path, *, vocab_size: int | None = None, max_positions: int | None = None
) -> tuple[list[Row], list[Row]]:
    """Return the training and held-out rows of a file that Happy Transformer 2.x or write_preprocessed wrote.

    Args:
        path: the file; spaces and line ends in it do not matter.
        vocab_size: where given, ids must be below it.
        max_positions: where given, the most ids that a row may have.

    Raises:
        InputError: missing, not JSON (with line and column), no "train" or "eval", no training rows, or a row (named
            by its number from 1) that a model cannot be trained on; see row_checks.
    """
    content = _read_object(path)
    for name in ("train", "eval"):
        if not isinstance(content.get(name), list):
            raise InputError(
                f'{path}: "{name}" is missing or not a list of rows; wanted is {{"train": […], "eval": […]}}, '
                "as Happy Transformer 2.x writes it"
            )
    if not content["train"]:
        raise InputError(f'{path}: "train" has no rows; make the file again from a longer corpus')
    train, held_out = (
        check_rows(content[name], where=f'{path}: "{name}"', vocab_size=vocab_size, max_positions=max_positions)
        for name in ("train", "eval")
    )
    return train, held_out


def _read_object(path: Path) -> dict[str, object]:
    content = read_json(path)
    if not isinstance(content, dict):
        raise InputError(f"{path}: holds a JSON {type(content).__name__} where an object is wanted; name another file")
    return content


def _write_list(stream: TextIO, items: Iterable[str], *, indent: str) -> int:
    """Write a JSON list of items that are JSON already, one a line, without holding them all; return how many."""
    number = 0
    for number, item in enumerate(items, start=1):
        stream.write(f"{'[' if number == 1 else ','}\n{indent}{item}")
    stream.write(f"\n{indent}]" if number else "[]")
    return number


def _preview_object(entry: PreviewEntry) -> str:
    pairs = [_compact(pair) for pair in zip(entry["tokens"], entry["ids"], strict=True)]
    tokens = ",\n      ".join(_filled(pairs))
    return f'{{\n    "text": {_compact(entry["text"])},\n    "tokens": [\n      {tokens}\n    ]\n  }}'


def _filled(pairs: Sequence[str]) -> Iterator[str]:
    """Join the pairs to lines of at most about 100 characters."""
    line = ""
    for pair in pairs:
        if line and len(line) + len(pair) > _PREVIEW_WIDTH:
            yield line
            line = ""
        line = f"{line}, {pair}" if line else pair
    yield line


def _row_line(row: Mapping[str, Sequence[int]]) -> str:
    return _compact({key: list(row[key]) for key in ROW_KEYS})


def _compact(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
