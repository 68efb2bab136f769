"""Claims about packing: no token is lost, order is kept, rows have one length."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.dataset import IGNORED_LABEL, block_size_warning, choose_block_size
from tests.factories.rows import pack, rows

EOS = 0
DOCUMENTS = st.lists(st.lists(st.integers(0, 50), max_size=20), max_size=20)  # ids may equal the end-of-text id


@given(DOCUMENTS, st.integers(1, 9))
def test_no_token_is_lost_and_order_is_kept(documents: list[list[int]], block_size: int) -> None:
    blocks = pack(iter(documents), eos_token_id=EOS, block_size=block_size)
    assert [i for block in blocks for i in block] == [i for document in documents for i in [*document, EOS]]
    assert sum(map(len, blocks)) == sum(len(document) + 1 for document in documents)
    assert all(len(block) == block_size for block in blocks[:-1])
    assert all(1 <= len(block) <= block_size for block in blocks)


@given(DOCUMENTS, st.integers(1, 9), st.integers(0, 50))
def test_rows_have_one_length_and_a_label_for_every_token(
    documents: list[list[int]], block_size: int, pad_token_id: int
) -> None:
    blocks = pack(documents, eos_token_id=EOS, block_size=block_size)
    made = rows(blocks, block_size=block_size, pad_token_id=pad_token_id)
    assert {len(values) for row in made for values in row.values()} <= {block_size}
    labels = [label for row in made for label in row["labels"] if label != IGNORED_LABEL]
    assert labels == [i for block in blocks for i in block]
    for row, block in zip(made, blocks, strict=True):
        padding = block_size - len(block)
        assert row["input_ids"] == block + [pad_token_id] * padding
        assert row["attention_mask"] == [1] * len(block) + [0] * padding
        assert row["labels"] == block + [IGNORED_LABEL] * padding


def test_an_end_of_text_that_is_the_padding_id_keeps_its_label() -> None:
    (row,) = rows(pack([[5, 6]], eos_token_id=EOS, block_size=5), block_size=5, pad_token_id=EOS)
    assert row == {
        "input_ids": [5, 6, 0, 0, 0],
        "attention_mask": [1, 1, 1, 0, 0],
        "labels": [5, 6, 0, -100, -100],
    }


def test_packing_neither_changes_nor_keeps_the_documents_it_was_given() -> None:
    document = [1, 2]
    blocks = pack([document, document], eos_token_id=EOS, block_size=3)
    rows(blocks, block_size=4, pad_token_id=9)[0]["input_ids"].append(7)
    assert document == [1, 2]
    assert blocks == [[1, 2, 0], [1, 2, 0]]


@pytest.mark.timeout(10)
def test_a_long_document_is_packed_in_linear_time() -> None:
    blocks = pack([range(400_000)], eos_token_id=EOS, block_size=2)  # quadratic: 40 billion moves
    assert len(blocks) == 200_001


@pytest.mark.parametrize("block", [[], [1, 2, 3]])
def test_a_block_that_does_not_fit_a_row_is_refused(block: list[int]) -> None:
    with pytest.raises(ValueError, match="does not fit a row of 2"):
        rows([block], block_size=2, pad_token_id=0)


def test_a_block_size_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="block_size must be 1 or more"):
        pack([[1]], eos_token_id=EOS, block_size=0)
    with pytest.raises(ValueError, match="block_size must be 1 or more"):
        rows([], block_size=0, pad_token_id=0)


@pytest.mark.parametrize(
    ("lengths", "max_positions", "size"),
    [
        ([22] * 48_600, 2048, 128),  # short sentences, many of them: the usual least
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
        ([22] * 50, 2048, 32),  # 1,100 tokens: 32 is the least
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


def test_few_blocks_are_warned_of_with_steps_and_a_way_out() -> None:
    assert block_size_warning(16, block_size=128) is None
    few = block_size_warning(15, block_size=1024)
    assert few is not None
    assert "15 rows of 1,024 tokens" in few
    assert "15 optimizer steps an epoch at batch 1" in few
    assert "--tokens.block-size" in few
    assert "1 row of 8 tokens" in (block_size_warning(1, block_size=8) or "")
