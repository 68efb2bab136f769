r"""Reads the documents of your files: .txt (one document per line), .csv, .jsonl and .parquet.

Documents come in file order and are read while the caller iterates; none is normalised or dropped here.
Text is strict UTF-8 and lines end at "\n" only. Cells of a table are kept verbatim: "NA", "null" and "007" are text.
"""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.dataset.text_files import BYTE_ORDER_MARK, decode_lines
from tasks.errors import InputError
from tasks.stage.folders import open_bytes

if TYPE_CHECKING:
    import pandas

DOCUMENT_SUFFIXES = (".txt", ".csv", ".jsonl", ".parquet")
"""File extensions (lower case) of documents; templates have .spintax or .md and are parsed elsewhere."""

_CSV_ROWS_AT_ONCE = 10_000


def read_documents(path: Path, column: str = "text") -> Iterator[str]:
    """Iterate over the documents of a user file, in file order.

    Args:
        path: a file whose extension is one of DOCUMENT_SUFFIXES (upper case is accepted).
        column: the column or JSON key that holds the text; a .txt file has none and ignores it.

    Raises:
        InputError: at the call if the file is missing, a folder, empty or of an unknown extension; while iterating
            if the content does not fit the extension, or holds no documents.
    """
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise InputError(
            f"{path}: the file extension {path.suffix!r} is not known; use .spintax or .md for a template, "
            f"or {', '.join(DOCUMENT_SUFFIXES)} for documents"
        )
    with open_bytes(path) as stream:
        start = stream.read(len(BYTE_ORDER_MARK.encode()) + 1)
    if not start.removeprefix(BYTE_ORDER_MARK.encode()):
        raise InputError(f"{path}: the file is empty; name a file that holds documents")
    return _at_least_one(path, reader(path, column))


def read_jsonl_documents(path: Path, column: str = "text") -> Iterator[str]:
    """Iterate over the texts under one key of a JSONL file; blank lines are skipped.

    InputError with file and line if a line is not a JSON object, lacks the key, or its value is not text.
    """
    for number, line in decode_lines(path):
        if line.strip():
            yield _jsonl_text(line, column, where=f"{path}:{number}")


def _jsonl_text(line: str, column: str, *, where: str) -> str:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where}: not JSON ({error}); each line of a .jsonl file is one JSON object") from error
    if not isinstance(record, dict):
        raise InputError(f'{where}: not a JSON object; each line is wanted as {{"{column}": "…"}}')
    if column not in record:
        raise _no_column(where, column, list(record))
    text = record[column]
    if not isinstance(text, str):
        raise InputError(f"{where}: {column!r} is {json.dumps(text)[:40]}, which is not text; put it in quotes")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        message = f"{where}: {column!r} holds half of a surrogate pair, which is not text; correct it"
        raise InputError(message) from error
    return text


def _txt_documents(path: Path, column: str) -> Iterator[str]:
    return (line for _, line in decode_lines(path))


def _csv_documents(path: Path, column: str) -> Iterator[str]:
    for _ in decode_lines(path):  # checks the encoding: pandas does not report the line and the offset of a bad byte
        pass
    frames = _csv_frames(path)
    first = next(frames, None)
    if first is None:
        return
    header = [str(name) for name in first.iloc[0]]
    if column not in header:
        raise _no_column(str(path), column, header)
    position = header.index(column)
    yield from first[position].iloc[1:].tolist()
    for frame in frames:
        yield from frame[position].tolist()


def _csv_frames(path: Path) -> Iterator["pandas.DataFrame"]:
    """Yield the rows in parts, with the header as the first row, so that pandas rejects a row longer than the header.

    With header=0 it would take the extra field for an index, or drop it. A row that is too short is filled up with "".
    """
    import pandas  # slow to import, and only tables need it

    try:
        with (
            path.open(encoding="utf-8-sig", newline="") as stream,
            pandas.read_csv(
                stream, header=None, dtype=str, keep_default_na=False, chunksize=_CSV_ROWS_AT_ONCE
            ) as frames,
        ):
            yield from frames
    except pandas.errors.EmptyDataError:
        return
    except pandas.errors.ParserError as error:
        raise InputError(f"{path}: malformed CSV: {_csv_fault(str(error))}") from error


def _csv_fault(message: str) -> str:
    """Return the message of pandas as a sentence; its line numbers count a quoted text of several lines as one."""
    if found := re.search(r"Expected (\d+) fields in line (\d+), saw (\d+)", message):
        wanted, line, got = found.groups()
        return (
            f"line {line} (a quoted text of several lines counts as one) has {got} fields, the header has {wanted}; "
            "put quotes around text that holds a comma"
        )
    if found := re.search(r"EOF inside string starting at row (\d+)", message):
        line = str(int(found[1]) + 1)
        return f"the quote that opens in line {line} (a quoted text of several lines counts as one) is never closed"
    return f"{message.strip()}; save the table again"


def _parquet_documents(path: Path, column: str) -> Iterator[str]:
    """Iterate over one column; a null is a document without text. Read by row group: pandas would load it whole."""
    import pyarrow.parquet  # slow to import, and only tables need it

    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            if column not in file.schema_arrow.names:
                raise _no_column(str(path), column, file.schema_arrow.names)
            batches = file.iter_batches(columns=[column])
            cells = (cell for batch in batches for cell in batch.column(0).to_pylist())
            for row, cell in enumerate(cells, start=1):
                yield _cell_text(cell, where=f"{path}: row {row:,} of column {column!r}")
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path}: not a parquet file that can be read ({reason}); save the table again") from error


def _cell_text(value: object, *, where: str) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise InputError(f"{where} is of type {type(value).__name__}, which is not text; save the column as strings")
    return value


def _at_least_one(path: Path, documents: Iterator[str]) -> Iterator[str]:
    first = next(documents, None)
    if first is None:
        raise InputError(f"{path}: the file holds no documents; name one that does")
    yield first
    yield from documents


def _no_column(where: str, column: str, columns: list[str]) -> InputError:
    names = ", ".join(repr(name) for name in columns)
    return InputError(f"{where}: there is no column {column!r} but {names}; name the one with --corpus.column")


_READERS: dict[str, Callable[[Path, str], Iterator[str]]] = {
    ".txt": _txt_documents,
    ".csv": _csv_documents,
    ".jsonl": read_jsonl_documents,
    ".parquet": _parquet_documents,
}
