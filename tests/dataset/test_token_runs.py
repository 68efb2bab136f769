"""Claims about the run of ids on disk: it gives the blocks that pack gives, leaves no file and needs no memory."""

import tracemalloc
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.dataset import TokenRun, token_runs
from tests.factories.rows import pack

EOS = 0
DOCUMENTS = st.lists(st.lists(st.integers(0, 50), max_size=20), max_size=20)


def add(run: TokenRun, documents: list[list[int]]) -> None:
    ids = np.array([i for document in documents for i in document], dtype=np.int32)
    run.add(ids, [len(document) for document in documents])


@settings(deadline=None)
@given(st.lists(DOCUMENTS, max_size=4), st.integers(1, 9))
def test_batches_of_documents_become_the_blocks_of_all_of_them(batches: list[list[list[int]]], block_size: int) -> None:
    documents = [document for batch in batches for document in batch]
    with TokenRun(Path(), eos_token_id=EOS) as run:
        for batch in batches:
            add(run, batch)
        for size in (block_size, block_size + 1):  # read twice
            found = [block.tolist() for block in run.blocks(size)]
            assert found == pack(documents, eos_token_id=EOS, block_size=size)
        assert run.documents == Counter(len(document) + 1 for document in documents)
        assert run.tokens == sum(len(document) + 1 for document in documents)


def test_blocks_go_on_where_a_part_of_the_file_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token_runs, "_BYTES_AT_ONCE", 16)
    with TokenRun(tmp_path, eos_token_id=EOS) as run:
        add(run, [list(range(1, 30))])
        assert [block.tolist() for block in run.blocks(7)][1] == list(range(8, 15))
        assert np.concatenate(list(run.blocks(7))).tolist() == [*range(1, 30), EOS]


def test_a_run_lies_in_a_file_without_a_name(tmp_path: Path) -> None:
    with TokenRun(tmp_path, eos_token_id=EOS) as run:
        add(run, [[1, 2, 3]])
        assert not list(tmp_path.iterdir())
    assert not list(tmp_path.iterdir())


def test_neither_packing_nor_cutting_needs_memory_for_the_corpus(tmp_path: Path) -> None:
    ids, lengths = np.arange(20_000, dtype=np.int32), [20] * 1000
    tracemalloc.start()
    with TokenRun(tmp_path, eos_token_id=EOS) as run:
        for _ in range(200):
            run.add(ids, lengths)
        tokens = sum(len(block) for block in run.blocks(128))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert tokens == 4_200_000  # 16.8 MB
    assert peak < 6e6
