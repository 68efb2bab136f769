"""Lines and JSON from files of strict UTF-8, and documents to JSONL.

Text mode, str.splitlines and the data-set libraries split on characters that belong to the text (U+2028, form feed),
keep the byte order mark, and name neither line nor offset when a byte is not UTF-8.
"""

import json
from collections.abc import Iterable, Iterator
from itertools import islice
from json.encoder import encode_basestring
from pathlib import Path

from tasks.errors import InputError
from tasks.stage.folders import open_bytes, open_whole

BYTE_ORDER_MARK = "\ufeff"
_BYTES_AT_ONCE = 2**20
_LINES_AT_ONCE = 1000


def decode_lines(path: Path) -> Iterator[tuple[int, str]]:
    r"""Yield (line number from 1, line without its end), decoded from strict UTF-8 and read while the caller iterates.

    Lines end at "\n" only; the "\r" of a CRLF and a leading byte order mark are removed. InputError with file, line
    and byte offset where a byte is not UTF-8, at most a mebibyte before the caller reaches it.
    """
    offset = 0
    number = 1
    with open_bytes(path) as stream:
        while raw := b"".join(stream.readlines(_BYTES_AT_ONCE)):
            try:
                text = raw.decode("utf-8")
            except UnicodeDecodeError as error:
                line = number + raw.count(b"\n", 0, error.start)
                raise not_utf8(path, line=line, offset=offset + error.start, byte=raw[error.start]) from error
            lines = text.removesuffix("\n").split("\n")
            if number == 1:
                lines[0] = lines[0].removeprefix(BYTE_ORDER_MARK)
            if "\r" in text:
                lines = [line.removesuffix("\r") for line in lines]
            yield from enumerate(lines, start=number)
            number += len(lines)
            offset += len(raw)


def not_utf8(path: Path, *, line: int, offset: int, byte: int) -> InputError:
    """Return the error for a byte (its offset counts from 0 in the whole file) that is not UTF-8."""
    return InputError(
        f"{path}:{line}: byte 0x{byte:02x} at offset {offset:,} of the file is not UTF-8; save the file as UTF-8"
    )


def read_json(path: Path) -> object:
    """Return the one JSON value of a UTF-8 file; InputError with line and column if it is damaged."""
    with open_bytes(path) as stream:
        data = stream.read()
    try:
        value: object = json.loads(data.decode("utf-8").removeprefix(BYTE_ORDER_MARK))
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise not_utf8(path, line=line, offset=error.start, byte=data[error.start]) from error
    except json.JSONDecodeError as error:
        raise InputError(
            f"{path}:{error.lineno}:{error.colno}: not JSON ({error.msg}); the file is damaged or of another kind, "
            "make it again"
        ) from error
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, brackets nested without end
        raise InputError(f"{path}: not JSON that can be read ({error}); make the file again") from error
    return value


def write_documents(path: Path, documents: Iterable[str]) -> int:
    r"""Write one JSON object {"text": "…"} per line, in order, UTF-8 with "\n" line ends; return how many.

    A newline in a document is \n in JSON, so a line is always one document, and `read_documents` can read the file
    back. It is whole or absent. InputError if its folder is missing or cannot be written to.
    """
    written = 0
    remaining = iter(documents)
    with open_whole(path) as file:
        while lines := [f'{{"text": {encode_basestring(text)}}}\n' for text in islice(remaining, _LINES_AT_ONCE)]:
            file.write("".join(lines).encode())
            written += len(lines)
    return written
