"""Sources in an object store: fetched once, and identified by their content."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

from tasks.corpus import check_sources, corpus_key, make_corpus
from tasks.errors import InputError, UnavailableError
from tasks.parameters import CorpusParameters
from tasks.settings import settings
from tasks.stage.sources import find_source
from tasks.storage.embedded_server import LOCAL_BUCKET, Endpoint
from tasks.storage.objects import open_object
from tests.factories.waiting import no_file_larger_than
from tests.storage.gate import Gate, gate_before

LINES = "one\ntwo\nthree\n"
URI = f"s3://{LOCAL_BUCKET}/texts/lines.txt"


@pytest.fixture
def gate(remote: Endpoint, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    with gate_before(remote.url) as gate:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", gate.url)
        yield gate


def put(text: str, uri: str = URI) -> None:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    with contextlib.closing(boto3.Session().client("s3", endpoint_url=os.environ["AWS_ENDPOINT_URL_S3"])) as client:
        client.put_object(Bucket=bucket, Key=key, Body=text.encode())


def fetches(gate: Gate) -> int:
    return sum(method == "GET" and path.split("?")[0].endswith("/lines.txt") for method, path in gate.requests)


def test_an_object_is_fetched_again_only_if_it_has_changed(gate: Gate) -> None:
    put(LINES)
    assert find_source(URI).read_text() == LINES
    assert find_source(URI).read_text() == LINES
    put(LINES)
    check_sources(CorpusParameters(source=(URI,)))
    made = make_corpus.fn(CorpusParameters(source=(URI,)))
    assert made.documents == 3
    assert fetches(gate) == 1
    put(LINES + "four\n")
    assert find_source(URI).read_text() == LINES + "four\n"
    assert fetches(gate) == 2


def test_an_object_gives_the_corpus_that_a_file_of_the_same_bytes_gives(remote: Endpoint, tmp_path: Path) -> None:
    put(LINES)
    (tmp_path / "here.txt").write_text(LINES)
    here = corpus_key(CorpusParameters(source=(str(tmp_path / "here.txt"),)))
    assert corpus_key(CorpusParameters(source=(URI,))) == here
    put("one\ntwo\nfour\n")
    assert corpus_key(CorpusParameters(source=(URI,))) != here


def test_a_damaged_copy_on_the_disk_is_fetched_again(gate: Gate) -> None:
    put(LINES)
    find_source(URI).write_text("one\ntwo\nthreE\n")
    assert find_source(URI).read_text() == LINES
    assert fetches(gate) == 2


@pytest.mark.parametrize(
    ("uri", "sentence"),
    [
        (f"s3://{LOCAL_BUCKET}/texts/none.txt", "texts/none.txt does not exist: correct the name"),
        ("s3://nobodys-bucket/lines.txt", "the bucket of s3://nobodys-bucket at"),
        ("s3://lines.txt", "is not an object"),
        (f"s3://{LOCAL_BUCKET}/texts/.hidden.txt", "has the unsafe part '.hidden.txt'"),
    ],
)
def test_a_source_that_is_not_an_object_is_reported_in_one_sentence(uri: str, sentence: str, remote: Endpoint) -> None:
    if ".hidden" in uri:
        put(LINES, uri)
    with pytest.raises(InputError, match=sentence.replace(".", r"\.")):
        check_sources(CorpusParameters(source=(uri,)))
    assert not list((settings().data / "sources").glob("*"))


def test_the_file_extension_of_an_object_is_checked_before_any_request() -> None:
    with pytest.raises(InputError, match=r"the file extension '\.docx' is not one of"):
        check_sources(CorpusParameters(source=("s3://anywhere/letter.docx",)))


def test_an_object_that_is_replaced_while_it_is_fetched_is_not_taken(remote: Endpoint, tmp_path: Path) -> None:
    put(LINES)
    with open_object(URI) as source:
        before = source.state()
        put("others\n")
        with pytest.raises(UnavailableError, match="was replaced during the download: try again"):
            source.download(tmp_path / "file", before, lambda _: None)


def test_a_disk_too_full_for_an_object_is_reported_and_leaves_nothing(remote: Endpoint) -> None:
    put("x" * 300_000)
    with no_file_larger_than(100_000), pytest.raises(InputError, match=r"^The disk is full"):
        find_source(URI)
    assert not list((settings().data / "sources").glob("*"))


def test_a_source_that_changes_while_the_corpus_is_made_gives_no_corpus(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "lines.txt"
    source.write_text(LINES)
    given = CorpusParameters(source=(str(source),))
    key = corpus_key(given)
    source.write_text("other\nlines\n")
    monkeypatch.setattr("tasks.corpus.corpus_key", _first(key))
    with pytest.raises(UnavailableError, match=r"^corpus\.source was changed while the corpus was made from it"):
        make_corpus.fn(given)
    assert not list((settings().data / "corpus").glob("*"))


def _first(key: str) -> object:
    """The key of the corpus, and from then on the real one: as if the source changed right after the first look."""
    looks = iter([key])

    def look(corpus: CorpusParameters) -> str:
        return next(looks, "") or corpus_key(corpus)

    return look
