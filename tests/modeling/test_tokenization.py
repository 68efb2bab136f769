"""Claims about tokenizing: batches are small, and processes end with whoever started them (see also test_tokens)."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tasks.modeling import tokenization
from tasks.modeling.tokenization import load_tokenizer, tokenize, tokenize_batches
from tasks.settings import ROOT


@pytest.fixture
def tokenizer(neo_folder: Path) -> Any:
    return load_tokenizer(str(neo_folder))


def test_special_tokens_that_stand_in_a_text_are_read_as_the_tokenizer_reads_them(tokenizer: Any) -> None:
    for split in (False, True):
        tokenizer.split_special_tokens = split
        ids = tokenizer("a<|endoftext|>b", add_special_tokens=False)["input_ids"]
        tokenizer.backend_tokenizer.encode_special_tokens = not split
        assert list(tokenize(["a<|endoftext|>b"], tokenizer)) == [ids]
        assert (tokenizer.eos_token_id in ids) is not split


def test_batches_are_bounded_by_texts_and_by_characters(tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokenization, "BATCH", 4)
    monkeypatch.setattr(tokenization, "_CHARACTERS", 300)
    some = ["a"] * 9 + ["b" * 299, "c", "d" * 900, "", "e"]
    assert [len(batch.lengths) for batch in tokenize_batches(some, tokenizer)] == [4, 4, 2, 2, 2]
    assert list(tokenize(some, tokenizer)) == [tokenizer(text)["input_ids"] for text in some]
    assert list(tokenize([], tokenizer)) == []


def test_texts_are_read_as_the_ids_are_taken(tokenizer: Any) -> None:
    read: list[int] = []

    def texts() -> Iterator[str]:
        for number in range(10**9):
            read.append(number)
            yield "you can"

    ids = tokenize(texts(), tokenizer)
    for _ in range(3 * tokenization.BATCH):
        next(ids)
    assert len(read) <= 5 * tokenization.BATCH


WITHOUT_END = """
import itertools, multiprocessing, sys, types
from contextlib import closing
from tokenizers import Tokenizer, models, pre_tokenizers
from tasks.modeling.tokenization import tokenize_batches

if __name__ == "__main__":
    backend = Tokenizer(models.WordLevel({"a": 0}, unk_token="a"))
    tokenizer = types.SimpleNamespace(is_fast=True, backend_tokenizer=backend, split_special_tokens=False)
    with closing(tokenize_batches(itertools.repeat("a"), tokenizer, processes=2)) as batches:
        for number, _ in enumerate(batches):
            if number == 3:
                print(*[child.pid for child in multiprocessing.active_children()], flush=True)
"""


@pytest.mark.parametrize("ending", ["Ctrl-C", "SIGINT", "SIGKILL"])
def test_no_process_is_left_when_tokenizing_breaks_off(ending: str, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(WITHOUT_END)
    parent = subprocess.Popen(
        [sys.executable, str(tmp_path / "program.py")],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True, cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert parent.stdout is not None
    children = [int(pid) for pid in parent.stdout.readline().split()]
    if ending == "Ctrl-C":  # reaches the whole group
        os.killpg(parent.pid, signal.SIGINT)
    else:
        parent.send_signal(signal.Signals[ending])
    _, said = parent.communicate(timeout=60)
    assert len(children) == 2
    wait_for_the_end(children)
    if ending != "SIGKILL":
        assert said.count("KeyboardInterrupt") == 1, said


def wait_for_the_end(pids: list[int]) -> None:
    deadline = time.monotonic() + 30
    while left := [pid for pid in pids if Path(f"/proc/{pid}").exists()]:
        assert time.monotonic() < deadline, left
        time.sleep(0.02)
