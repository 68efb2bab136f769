"""Bytes to text and back: every file that this package reads or writes is opened here.

What comes in: a path. What it leaves: lines or JSON decoded from strict UTF-8, or a file that is whole or absent.
Why by hand: text mode, str.splitlines and the data-set libraries split on characters that belong to the text
(U+2028, form feed), keep the byte order mark, and name neither line nor offset when a byte is not UTF-8.
"""

import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import TextIO

from tasks.errors import InputError

BYTE_ORDER_MARK = "\ufeff"
_BYTES_AT_ONCE = 2**20


def open_bytes(path: Path) -> BufferedReader:
    """Open a file for reading bytes; InputError if it is missing, a folder or not readable."""
    try:
        return path.open("rb")
    except FileNotFoundError as error:
        raise InputError(f"{path}: there is no such file; check the path") from error
    except IsADirectoryError as error:
        raise InputError(f"{path}: is a folder where a file is wanted; name a file in it") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check the path and its permissions") from error


def decode_lines(path: Path) -> Iterator[tuple[int, str]]:
    r"""Yield (line number from 1, line without its end), decoded from strict UTF-8 and read as the caller goes on.

    Lines end at "\n" only; the "\r" of a CRLF and a leading byte order mark are taken off. InputError with
    file, line and byte offset where a byte is not UTF-8, once the caller is within a mebibyte of it.
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


@contextmanager
def write_whole(path: Path) -> Iterator[TextIO]:
    r"""Open a UTF-8 text file ("\n" line ends) that appears under its name only when the block ends well.

    The text goes to a hidden neighbour first, is flushed to the disk and then renamed, so that a reader sees the old
    file or the new one and never a part. InputError if the folder is missing or cannot be written to.
    """
    if not path.name:
        raise InputError(f"{path}: does not end in the name of a file; name the file to write")
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
    stream = _open_new(partial, path)
    try:
        with stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        _rename(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _open_new(partial: Path, path: Path) -> TextIO:
    try:
        return partial.open("x", encoding="utf-8", newline="\n")
    except FileNotFoundError as error:
        raise InputError(f"{path}: the folder {path.parent} does not exist; make it first") from error
    except OSError as error:
        raise InputError(
            f"{path}: the folder {path.parent} cannot be written to ({error.strerror}); "
            "name another or change its permissions"
        ) from error


def _rename(partial: Path, path: Path) -> None:
    try:
        partial.replace(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be replaced ({error.strerror}); name a file that can be written") from error
