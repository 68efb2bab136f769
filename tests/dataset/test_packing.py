"""Packing loses no token, keeps the order and needs no memory for the corpus."""

import tracemalloc
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.dataset import TokenRun, block_size_warning, choose_block_size, packing
from tests.factories.rows import pack

EOS = 0
DOCUMENTS = st.lists(st.lists(st.integers(0, 50), max_size=20), max_size=20)  # ids may equal the end-of-text id


@given(DOCUMENTS, st.integers(1, 9))
def test_no_token_is_lost_and_order_is_kept(documents: list[list[int]], block_size: int) -> None:
    blocks = pack(iter(documents), eos_token_id=EOS, block_size=block_size)
    assert [i for block in blocks for i in block] == [i for document in documents for i in [*document, EOS]]
    assert sum(map(len, blocks)) == sum(len(document) + 1 for document in documents)
    assert all(len(block) == block_size for block in blocks[:-1])
    assert all(1 <= len(block) <= block_size for block in blocks)


@pytest.mark.timeout(10)
def test_a_long_document_is_packed_in_linear_time() -> None:
    blocks = pack([range(400_000)], eos_token_id=EOS, block_size=2)  # quadratic: 40 billion moves
    assert len(blocks) == 200_001


def test_a_block_size_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="block_size must be 1 or more"):
        pack([[1]], eos_token_id=EOS, block_size=0)


@pytest.mark.parametrize(
    ("lengths", "max_positions", "size"),
    [
        ([22] * 48_600, 2048, 128),  # short sentences, many of them: the usual minimum
        ([200] * 1000, 2048, 256),
        ([256] * 1000, 2048, 256),
        ([200] * 990 + [900] * 10, 2048, 256),  # 1 % may be cut
        ([200] * 989 + [900] * 11, 2048, 1024),
        ([5000] * 1000, 4096, 1024),  # at most 1,024
        ([900] * 1000, 512, 512),  # at most what the model takes
        ([900] * 1000, 600, 512),  # which need not be a power of two
        ([22] * 48_600, 16, 16),  # even below 32
        ([22] * 186, 2048, 128),  # 4,092 tokens are 32 blocks of 128
        ([22] * 180, 2048, 64),  # 3,960 are only 31
        ([22] * 50, 2048, 32),  # 1,100 tokens: 32 is the minimum
        ([10], 2048, 32),
        ([100] * 10, 2048, 128),  # the median document fits, though there are only 8 blocks
        ([60] * 20 + [500], 2048, 64),
    ],
)
def test_the_block_size_fits_the_documents_and_the_model(lengths: list[int], max_positions: int, size: int) -> None:
    assert choose_block_size(Counter(lengths), max_positions=max_positions) == size


@given(st.lists(st.integers(1, 3000), min_size=1, max_size=200), st.integers(1, 5000))
def test_the_block_size_is_a_power_of_two_within_the_limits(lengths: list[int], max_positions: int) -> None:
    size = choose_block_size(Counter(lengths), max_positions=max_positions)
    assert size & (size - 1) == 0
    assert min(32, max_positions // 2 + 1) <= size <= min(max_positions, 1024)


@pytest.mark.parametrize(("lengths", "max_positions"), [([], 8), ([3], 0)])
def test_a_block_size_cannot_be_chosen_from_nothing(lengths: list[int], max_positions: int) -> None:
    with pytest.raises(ValueError, match="both must be 1 or more"):
        choose_block_size(Counter(lengths), max_positions=max_positions)


def test_few_blocks_give_a_warning_with_the_steps_and_what_to_do() -> None:
    assert block_size_warning(16, block_size=128) is None
    few = block_size_warning(15, block_size=1024)
    assert few is not None
    assert "15 rows of 1,024 tokens" in few
    assert "15 optimizer steps per epoch at batch size 1" in few
    assert "--tokens.block-size" in few
    assert "1 row of 8 tokens" in (block_size_warning(1, block_size=8) or "")


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


def test_blocks_continue_past_the_end_of_a_part_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "_BYTES_AT_ONCE", 16)
    with TokenRun(tmp_path, eos_token_id=EOS) as run:
        add(run, [list(range(1, 30))])
        assert [block.tolist() for block in run.blocks(7)][1] == list(range(8, 15))
        assert np.concatenate(list(run.blocks(7))).tolist() == [*range(1, 30), EOS]


def test_a_run_is_in_a_file_without_a_name(tmp_path: Path) -> None:
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
