"""The reported loss is the mean over tokens, whatever the batches and the pads."""

from pathlib import Path

import pytest

from tasks.dataset import rows
from tasks.modeling.happy import TunableGeneration
from tasks.modeling.loss import Row, mean_loss
from tests.modeling.conftest import float64_loss

LENGTHS = (2, 31, 5, 17, 1, 24, 3)


@pytest.fixture(scope="module")
def uneven(all_rows: list[Row]) -> list[Row]:
    """Rows of 32 with different numbers of real tokens (one has no token to predict at all)."""
    blocks = [row["input_ids"][:length] for row, length in zip(all_rows, LENGTHS, strict=False)]
    assert len(blocks) == len(LENGTHS)
    return rows(blocks, block_size=32, pad_token_id=0)


def test_the_loss_is_the_mean_over_tokens(neo: TunableGeneration, neo_folder: Path, uneven: list[Row]) -> None:
    assert mean_loss(neo.model, uneven, batch_size=3) == pytest.approx(float64_loss(neo_folder, uneven), rel=1e-6)


def test_the_loss_does_not_depend_on_the_batch_size(neo: TunableGeneration, uneven: list[Row]) -> None:
    losses = [mean_loss(neo.model, uneven, batch_size=size) for size in (1, 2, 4, 100)]
    assert losses == pytest.approx([losses[0]] * 4, rel=1e-6)


def test_the_loss_is_measured_without_dropout(gpt2: TunableGeneration, uneven: list[Row]) -> None:
    gpt2.model.train()
    assert mean_loss(gpt2.model, uneven, batch_size=4) == mean_loss(gpt2.model, uneven, batch_size=4)
