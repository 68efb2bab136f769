"""Text files are read verbatim, and what cannot be read is named."""

import subprocess
import sys
from itertools import islice
from pathlib import Path

import pandas
import pytest

from tasks.dataset import DOCUMENT_SUFFIXES, read_documents
from tasks.dataset.text_files import decode_lines
from tasks.errors import InputError


def a_file(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_a_txt_file_is_one_document_per_line_split_on_line_feeds_only(tmp_path: Path) -> None:
    path = a_file(tmp_path, "own.txt", "one\u2028still one\ntwo\x0cstill two\r\n\n three\u0085 \rthree")
    assert list(read_documents(path)) == ["one\u2028still one", "two\x0cstill two", "", " three\u0085 \rthree"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("own.txt", "caf\u00e9\r\nb\r\n"),
        ("own.csv", "text\r\ncaf\u00e9\r\nb\r\n"),
        ("own.jsonl", '{"text": "caf\\u00e9"}\r\n\r\n{"text": "b"}\r\n'),
    ],
)
def test_a_byte_order_mark_and_crlf_are_not_text(tmp_path: Path, name: str, content: str) -> None:
    path = a_file(tmp_path, name, b"\xef\xbb\xbf" + content.encode())
    assert list(read_documents(path)) == ["caf\u00e9", "b"]


def test_nothing_is_normalised_while_reading(tmp_path: Path) -> None:
    assert list(read_documents(a_file(tmp_path, "own.txt", "cafe\u0301 \n"))) == ["cafe\u0301 "]


def test_csv_cells_that_look_like_numbers_or_nothing_stay_text(tmp_path: Path) -> None:
    path = a_file(tmp_path, "own.csv", 'id,text\n1,NA\n2,null\n3,007\n4,1e5\n5,true\n6,\n7,""\n')
    assert list(read_documents(path)) == ["NA", "null", "007", "1e5", "true", "", ""]


def test_csv_text_in_quotes_may_hold_commas_quotes_and_newlines(tmp_path: Path) -> None:
    path = a_file(tmp_path, "own.csv", 'text,id\n"a\nb\r\nc",1\n"say ""hi"", now",2\n')
    assert list(read_documents(path)) == ["a\nb\r\nc", 'say "hi", now']


def test_csv_is_read_whole_when_it_comes_in_several_parts(tmp_path: Path) -> None:
    texts = [f"document {number}" for number in range(20_001)]
    path = a_file(tmp_path, "own.csv", "\n".join(["text", *texts]))
    assert list(read_documents(path)) == texts


def test_another_column_can_be_named(tmp_path: Path) -> None:
    csv = a_file(tmp_path, "own.csv", "text,body\nno,yes\n")
    jsonl = a_file(tmp_path, "own.jsonl", '{"text": "no", "body": "yes"}\n')
    pandas.DataFrame({"text": ["no"], "body": ["yes"]}).to_parquet(tmp_path / "own.parquet")
    for path in (csv, jsonl, tmp_path / "own.parquet"):
        assert list(read_documents(path, column="body")) == ["yes"]


def test_parquet_gives_text_as_it_is_and_null_as_an_empty_document(tmp_path: Path) -> None:
    path = tmp_path / "own.parquet"
    pandas.DataFrame({"id": [1, 2, 3], "text": ["NA", None, "a\nb"]}).to_parquet(path)
    assert list(read_documents(path)) == ["NA", "", "a\nb"]


def test_parquet_finds_a_column_that_pandas_saved_as_its_index(tmp_path: Path) -> None:
    path = tmp_path / "own.parquet"
    pandas.DataFrame({"id": [1, 2], "text": ["a", "b"]}).set_index("text").to_parquet(path)
    assert list(read_documents(path)) == ["a", "b"]


def test_a_file_extension_in_capitals_is_known(tmp_path: Path) -> None:
    assert list(read_documents(a_file(tmp_path, "OWN.TXT", "a\n"))) == ["a"]


def test_documents_come_before_the_whole_file_is_read(tmp_path: Path) -> None:
    lines = 2**20 // 8
    documents = read_documents(a_file(tmp_path, "own.txt", b"1234567\n" * lines + b"good\nbad \xff\n"))
    assert list(islice(documents, lines)) == ["1234567"] * lines
    with pytest.raises(InputError, match=rf"own\.txt:{lines + 2}: byte 0xff at offset {8 * lines + 9:,} of the file"):
        list(documents)


def test_a_file_of_several_blocks_is_read_whole_and_its_lines_are_counted(tmp_path: Path) -> None:
    texts = [f"\ufeff{number} caf\u00e9 \u2028 {'x' * (number % 50)}" for number in range(60_000)]
    path = a_file(tmp_path, "own.txt", b"\xef\xbb\xbf" + "\r\n".join(texts).encode())
    assert path.stat().st_size > 2 * 2**20
    assert list(read_documents(path)) == texts
    assert [number for number, _ in decode_lines(path)] == list(range(1, len(texts) + 1))


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("own.txt", b"good\ncaf\xe9\n", r"own\.txt:2: byte 0xe9 at offset 8 of the file is not UTF-8"),
        ("own.txt", "utf".encode("utf-16"), r"own\.txt:1: byte 0xff at offset 0 .* save the file as UTF-8"),
        ("own.csv", b"text\na\n\xff\n", r"own\.csv:3: byte 0xff at offset 7"),
        ("own.jsonl", b'{"text": "\xff"}\n', r"own\.jsonl:1: byte 0xff at offset 10"),
        ("own.csv", "id,body\n1,a\n", r"own\.csv: .*no column 'text' but 'id', 'body'; .*--corpus\.column"),
        ("own.csv", "text\nHello, world\n", r"own\.csv: malformed CSV: line 2 .*has 2 fields, the header has 1"),
        ("own.csv", "id,text\n" + "1,a\n" * 12_000 + "1,a,b\n", r"line 12002 .*has 3 fields, the header has 2"),
        ("own.csv", 'text\na\n"b\nc\n', r"own\.csv: malformed CSV: the quote that opens in line 3 .*never closed"),
        ("own.csv", "\n\n", r"own\.csv: the file holds no documents"),
        ("own.csv", "text\n", r"own\.csv: the file holds no documents"),
        ("own.jsonl", "\n \n", r"own\.jsonl: the file holds no documents"),
        ("own.jsonl", '{"text": "a"}\n{"text": \n', r"own\.jsonl:2: not JSON"),
        ("own.jsonl", "[" * 200_000, r"own\.jsonl:1: not JSON"),
        ("own.jsonl", '"a"\n', r"own\.jsonl:1: not a JSON object"),
        ("own.jsonl", '{"body": "a", "id": 1}\n', r"own\.jsonl:1: .*no column 'text' but 'body', 'id'; .*--corpus"),
        ("own.jsonl", '{"text": "a"}\n\n{"text": 7}\n', r"own\.jsonl:3: 'text' is 7, which is not text"),
        ("own.jsonl", '{"text": null}\n', r"own\.jsonl:1: 'text' is null, which is not text"),
        ("own.jsonl", '{"text": "\\ud800"}\n', r"own\.jsonl:1: 'text' holds half of a surrogate pair"),
        ("own.parquet", b"no table at all", r"own\.parquet: not a parquet file that can be read"),
    ],
)
def test_content_that_cannot_be_read_is_named_in_one_sentence(
    tmp_path: Path, name: str, content: str | bytes, says: str
) -> None:
    path = a_file(tmp_path, name, content)
    with pytest.raises(InputError, match=says) as caught:
        list(read_documents(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("suffix", DOCUMENT_SUFFIXES)
def test_an_empty_file_is_an_error_before_anything_is_iterated(tmp_path: Path, suffix: str, content: bytes) -> None:
    with pytest.raises(InputError, match="the file is empty"):
        read_documents(a_file(tmp_path, f"own{suffix}", content))


def test_a_missing_file_a_folder_and_an_unknown_extension_are_errors_before_anything_is_iterated(
    tmp_path: Path,
) -> None:
    (tmp_path / "folder.txt").mkdir()
    with pytest.raises(InputError, match=r"gone\.txt: there is no such file"):
        read_documents(tmp_path / "gone.txt")
    with pytest.raises(InputError, match=r"folder\.txt: is a folder"):
        read_documents(tmp_path / "folder.txt")
    with pytest.raises(InputError, match=r"own\.txt: cannot be read"):
        read_documents(a_file(tmp_path, "file", "a") / "own.txt")
    with pytest.raises(
        InputError, match=r"'\.docx' is not known; use \.spintax or \.md .*\.txt, \.csv, \.jsonl, \.par"
    ):
        read_documents(a_file(tmp_path, "own.docx", "a"))


def test_a_parquet_column_that_is_missing_or_not_text_is_named(tmp_path: Path) -> None:
    path = tmp_path / "own.parquet"
    pandas.DataFrame({"id": ["a"], "number": [7]}).to_parquet(path)
    with pytest.raises(InputError, match="no column 'text' but 'id', 'number'"):
        list(read_documents(path))
    with pytest.raises(InputError, match="row 1 of column 'number' is of type int"):
        list(read_documents(path, column="number"))


def test_a_parquet_file_that_is_damaged_inside_is_named(tmp_path: Path) -> None:
    path = tmp_path / "own.parquet"
    pandas.DataFrame({"text": ["a", "b"]}).to_parquet(path)
    content = bytearray(path.read_bytes())
    content[4:40] = b"\xff" * 36
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"own\.parquet: not a parquet file that can be read"):
        list(read_documents(path))


def test_importing_the_package_loads_nothing_heavy() -> None:
    heavy = "{'torch', 'transformers', 'prefect', 'pandas', 'pyarrow', 'numpy', 'tasks.spintax'}"
    program = f"import sys, tasks.dataset; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
