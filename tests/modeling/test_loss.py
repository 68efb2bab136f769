"""The reported loss is the mean over tokens, whatever the batches and the padding."""

from pathlib import Path

import pytest
import torch

from tasks.dataset import Row
from tasks.modeling.happy import TunableGeneration
from tasks.modeling.loss import mean_loss
from tests.factories.models import float64_loss
from tests.factories.rows import blocks_of, rows

LENGTHS = (2, 31, 5, 17, 1, 24, 3)


@pytest.fixture(scope="module")
def uneven(all_rows: list[Row]) -> list[Row]:
    """Rows of 32 with different numbers of real tokens (one has no token to predict at all)."""
    blocks = [row["input_ids"][:length] for row, length in zip(all_rows, LENGTHS, strict=False)]
    assert len(blocks) == len(LENGTHS)
    return rows(blocks, block_size=32, pad_token_id=0)


def test_the_loss_is_the_mean_over_tokens(neo: TunableGeneration, neo_folder: Path, uneven: list[Row]) -> None:
    assert loss_of(neo, uneven, 3) == pytest.approx(float64_loss(neo_folder, uneven), rel=1e-6)


def test_the_loss_does_not_depend_on_the_batch_size(neo: TunableGeneration, uneven: list[Row]) -> None:
    losses = [loss_of(neo, uneven, size) for size in (1, 2, 4, 100)]
    assert losses == pytest.approx([losses[0]] * 4, rel=1e-6)


@pytest.mark.parametrize("processes", [2, 3, 5])
def test_processes_share_the_work(
    neo: TunableGeneration, uneven: list[Row], processes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks, sums = blocks_of(uneven), []
    monkeypatch.setattr("torch.distributed.all_reduce", lambda shared: sums.append(shared.clone()))
    for rank in range(processes):
        mean_loss(neo.model, blocks, batch_size=2, device=torch.device("cpu"), shard=(rank, processes))
    total = torch.stack(sums).sum(0)
    assert int(total[1]) == sum(LENGTHS) - len(LENGTHS)
    assert float(total[0] / total[1]) == pytest.approx(loss_of(neo, uneven, 2), rel=1e-6)


def loss_of(generator: TunableGeneration, some_rows: list[Row], batch_size: int) -> float:
    return mean_loss(generator.model, blocks_of(some_rows), batch_size=batch_size, device=torch.device("cpu"))
