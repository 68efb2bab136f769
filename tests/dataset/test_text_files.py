"""Files that are written come back unchanged, and are whole or absent."""

import os
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import pytest

from tasks.dataset import prepare, read_documents, read_jsonl_documents, write_documents, write_preprocessed
from tasks.errors import InputError
from tasks.parameters import CorpusParameters

DOCUMENTS = ["caf\u00e9 \u2028 {a|b}", "two\nlines\r\n", '"quoted" \\', "", "\ufeffmark", "NA", "\x00\u0085"]


def test_documents_come_back_unchanged_and_in_order(tmp_path: Path) -> None:
    path = tmp_path / "corpus.jsonl"
    assert write_documents(path, iter(DOCUMENTS)) == len(DOCUMENTS)
    assert list(read_jsonl_documents(path)) == DOCUMENTS
    assert list(read_documents(path)) == DOCUMENTS


def test_the_file_is_readable_utf_8_with_one_document_per_line(tmp_path: Path) -> None:
    path = tmp_path / "corpus.jsonl"
    write_documents(path, ["caf\u00e9", "two\nlines"])
    assert path.read_bytes() == '{"text": "café"}\n{"text": "two\\nlines"}\n'.encode()


def test_a_prepared_corpus_fed_back_is_the_same_corpus(tmp_path: Path) -> None:
    one, again = tmp_path / "one", tmp_path / "again"
    one.mkdir()
    again.mkdir()
    prepare(["b\r\n", "cafe\u0301", "a\nb", "c", "b"], one, CorpusParameters(seed=3))
    parts = [read_documents(one / name) for name in ("train.jsonl", "eval.jsonl")]
    prepare(chain(*parts), again, CorpusParameters(seed=3))
    for name in ("train.jsonl", "eval.jsonl"):
        assert (again / name).read_bytes() == (one / name).read_bytes()


def test_no_documents_come_back_as_none(tmp_path: Path) -> None:
    write_documents(tmp_path / "corpus.jsonl", [])
    assert list(read_jsonl_documents(tmp_path / "corpus.jsonl")) == []


def test_a_damaged_or_missing_corpus_is_named(tmp_path: Path) -> None:
    path = tmp_path / "corpus.jsonl"
    path.write_text('{"text": "a"}\n{"te')
    with pytest.raises(InputError, match=r"corpus\.jsonl:2: not JSON"):
        list(read_jsonl_documents(path))
    with pytest.raises(InputError, match="there is no such file"):
        list(read_jsonl_documents(tmp_path / "gone.jsonl"))


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    def documents() -> Iterator[str]:
        yield "new"
        raise RuntimeError("stopped half way")

    path = tmp_path / "corpus.jsonl"
    write_documents(path, ["old"])
    with pytest.raises(RuntimeError, match="half way"):
        write_documents(path, documents())
    assert list(read_jsonl_documents(path)) == ["old"]
    assert list(tmp_path.iterdir()) == [path]


def test_a_missing_folder_is_named_by_every_writer(tmp_path: Path) -> None:
    for write in (lambda path: write_documents(path, ["a"]), lambda path: write_preprocessed(path, [], [])):
        with pytest.raises(InputError, match=r"the folder .*gone does not exist; make it first"):
            write(tmp_path / "gone" / "file")


@pytest.mark.skipif(os.name != "posix", reason="permissions of another kind")
def test_a_folder_without_write_permission_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)  # root may write anywhere: be nobody for a moment
    try:
        with pytest.raises(InputError, match=r"cannot be written to \(Permission denied\)"):
            write_documents(tmp_path / "corpus.jsonl", ["a"])
    finally:
        os.seteuid(user)
        tmp_path.chmod(0o700)
