"""The history of a training, as a picture and as a table."""

from io import BytesIO
from typing import Any

import pytest
from PIL import Image

from tasks.evaluation.losses import draw_losses, losses_markdown, series


def history(measurements: int) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = [{"step": 0, "eval_loss": 6.0}]
    for step in range(1, measurements):
        more = {"learning_rate": 1e-3, "grad_norm": 0.5, "tokens_per_second": 1234.5}
        entries += [{"step": step, "loss": 5.0 / step, **more}, {"step": step, "eval_loss": 5.5 / step}]
    return entries


def test_the_series_are_those_of_the_entries() -> None:
    assert series(history(3), "loss") == ([1, 2], [5.0, 2.5])
    assert series(history(3), "eval_loss") == ([0, 1, 2], [6.0, 5.5, 2.75])


def test_the_picture_is_a_png_with_both_curves() -> None:
    with Image.open(BytesIO(draw_losses(history(11)))) as picture:
        assert (picture.format, picture.size) == ("PNG", (900, 450))
        colours = {pixel for _, pixel in picture.convert("RGB").getcolors(2**20) or []}
    assert {(31, 119, 180), (255, 127, 14)} <= colours, "matplotlib's first two colours"


def test_another_history_is_another_picture() -> None:
    assert draw_losses(history(11)) != draw_losses(history(12))
    assert draw_losses(history(11)) == draw_losses(history(11))


def test_the_table_has_each_measurement_with_the_training_before_it() -> None:
    lines = losses_markdown(history(3), picture="data:image/png;base64,xyz").splitlines()
    assert lines[0] == "![losses over the steps](data:image/png;base64,xyz)"
    assert lines[4:] == [
        "| 0 | 6.0000 |  |  |  |  |",
        "| 1 | 5.5000 | 5.0000 | 1.00e-03 | 0.50 | 1,234 |",
        "| 2 | 2.7500 | 2.5000 | 1.00e-03 | 0.50 | 1,234 |",
    ]


@pytest.mark.parametrize("measurements", [1, 2, 25, 26, 27, 1000])
def test_a_long_table_is_thinned_and_keeps_both_ends(measurements: int) -> None:
    rows = losses_markdown(history(measurements), picture="").splitlines()[4:]
    assert len(rows) <= 26
    assert rows[0].startswith("| 0 |")
    assert rows[-1].startswith(f"| {measurements - 1:,} |")
