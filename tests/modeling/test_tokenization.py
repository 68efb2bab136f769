"""Tokenization: which ids it gives, how far it reads ahead, and how many processes work."""

import multiprocessing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from transformers import GPT2Tokenizer

from tasks.modeling import tokenization
from tasks.modeling.tokenization import load_tokenizer, tokenize, tokenize_batches


@pytest.fixture
def tokenizer(neo_folder: Path) -> Any:
    return load_tokenizer(str(neo_folder))


def test_special_tokens_in_a_text_are_encoded_as_by_the_tokenizer(tokenizer: Any) -> None:
    for split in (False, True):
        tokenizer.split_special_tokens = split
        ids = tokenizer("a<|endoftext|>b", add_special_tokens=False)["input_ids"]
        tokenizer.backend_tokenizer.encode_special_tokens = not split
        assert list(tokenize(["a<|endoftext|>b"], tokenizer)) == [ids]
        assert (tokenizer.eos_token_id in ids) is not split


def test_batches_are_bounded_by_texts_and_by_characters(tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokenization, "BATCH", 4)
    monkeypatch.setattr(tokenization, "_MAX_CHARACTERS", 300)
    some = ["a"] * 9 + ["b" * 299, "c", "d" * 900, "", "e"]
    assert [len(batch.lengths) for batch in tokenize_batches(some, tokenizer)] == [4, 4, 2, 2, 2]
    assert list(tokenize(some, tokenizer)) == [tokenizer(text)["input_ids"] for text in some]
    assert list(tokenize([], tokenizer)) == []


def test_texts_are_read_lazily(tokenizer: Any) -> None:
    read: list[int] = []

    def texts() -> Iterator[str]:
        for number in range(10**9):
            read.append(number)
            yield "you can"

    ids = tokenize(texts(), tokenizer)
    for _ in range(3 * tokenization.BATCH):
        next(ids)
    assert len(read) <= 5 * tokenization.BATCH


def test_truncation_and_padding_of_a_saved_tokenizer_are_off(neo_folder: Path, texts: list[str]) -> None:
    tokenizer = load_tokenizer(str(neo_folder))
    expected = list(tokenize(texts, tokenizer))
    tokenizer.backend_tokenizer.enable_truncation(3)
    tokenizer.backend_tokenizer.enable_padding(length=200)
    assert list(tokenize(texts, tokenizer)) == expected


def test_a_slow_tokenizer_gives_the_same_ids(neo_folder: Path, texts: list[str], tmp_path: Path) -> None:
    fast = load_tokenizer(str(neo_folder))
    fast.backend_tokenizer.model.save(str(tmp_path))
    slow = GPT2Tokenizer(str(tmp_path / "vocab.json"), str(tmp_path / "merges.txt"))
    assert not slow.is_fast
    assert list(tokenize(texts, slow)) == list(tokenize(texts, fast))


def test_long_documents_make_small_batches(neo_folder: Path) -> None:
    taken = []

    def documents() -> Iterator[str]:
        for number in range(40):
            taken.append(number)
            yield "a" * 2**18

    batches = tokenize_batches(documents(), load_tokenizer(str(neo_folder)))
    assert len(next(batches).lengths) == 4
    assert len(taken) == 8  # two batches are read to see whether one process is enough
    assert sum(len(lengths) for _, lengths in batches) == 36


@pytest.mark.slow
def test_two_processes_give_the_same_ids_in_order(neo_folder: Path, texts: list[str]) -> None:
    many = [f"{text} {number}" for number in range(80) for text in texts]
    assert len(many) > 2 * tokenization.BATCH
    tokenizer = load_tokenizer(str(neo_folder))
    found, children = {}, {}
    for processes in (1, 2):
        ids = tokenize(many, tokenizer, processes=processes)
        first = next(ids)
        children[processes] = len(multiprocessing.active_children())
        found[processes] = [first, *ids]
    assert children == {1: 0, 2: 2}
    assert found[1] == found[2] == [tokenizer(text)["input_ids"] for text in many]


@pytest.mark.slow
def test_closing_the_generator_early_ends_all_processes(neo_folder: Path, texts: list[str]) -> None:
    taken = []

    def documents() -> Iterator[str]:
        for number in range(1000):
            taken.append(number)
            yield from texts * 40

    batches = tokenize_batches(documents(), load_tokenizer(str(neo_folder)), processes=2)
    next(batches)
    assert len(multiprocessing.active_children()) == 2
    assert len(taken) <= 5  # two batches per process are waiting, not the whole corpus
    batches.close()
    assert not multiprocessing.active_children()
