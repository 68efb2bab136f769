"""The history of a training, as a plot and as a table."""

import math
import re
from io import BytesIO
from typing import Any
from xml.etree import ElementTree

import pytest
from PIL import Image

from tasks.evaluation.reports.loss_plot import losses_markdown, plot_losses, plot_losses_svg, series


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
    with Image.open(BytesIO(plot_losses(history(11)))) as picture:
        assert (picture.format, picture.size) == ("PNG", (900, 450))
    assert {(47, 127, 209), (200, 100, 27)} <= colours(plot_losses(history(11))), "training and held out"


def test_equal_histories_give_equal_pictures() -> None:
    assert plot_losses(history(11)) != plot_losses(history(12))
    assert plot_losses(history(11)) == plot_losses(history(11))


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


def colours(png: bytes) -> set[tuple[int, ...]]:
    with Image.open(BytesIO(png)) as picture:
        return {pixel for _, pixel in picture.convert("RGB").getcolors(2**20) or [] if isinstance(pixel, tuple)}


def test_the_floor_is_drawn_if_it_is_known() -> None:
    assert (138, 99, 201) in colours(plot_losses(history(11), floor=0.25))
    assert (138, 99, 201) not in colours(plot_losses(history(11)))


@pytest.mark.parametrize("narrow", [False, True])
@pytest.mark.parametrize("floor", [None, 0.25, 0.0])
def test_the_svg_is_one_element_without_external_references(narrow: bool, floor: float | None) -> None:
    svg = plot_losses_svg(history(11), floor=floor, narrow=narrow)
    assert svg == plot_losses_svg(history(11), floor=floor, narrow=narrow)
    root = ElementTree.fromstring(svg)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert re.findall(r"https?://[^\"]*", svg) == ["http://www.w3.org/2000/svg"]
    names = {element.tag.rpartition("}")[2] for element in root.iter()}
    assert not names & {"metadata", "style", "script", "image"}
    assert "currentColor" in svg
    assert ("loss floor" in svg) == (floor is not None)
    assert {"training", "held out", "step"} <= {element.text for element in root.iter()}


def test_two_plots_can_be_in_one_page() -> None:
    ids = [
        set(re.findall(r' id="([^"]*)"', plot_losses_svg(history(11), floor=0.25, narrow=narrow)))
        for narrow in (False, True)
    ]
    assert not ids[0] & ids[1]
    for narrow, of_plot in zip((False, True), ids, strict=True):
        svg = plot_losses_svg(history(11), floor=0.25, narrow=narrow)
        assert set(re.findall(r'(?:url\(|href=")#([^")]*)', svg)) <= of_plot


@pytest.mark.parametrize(
    "entries",
    [[], [{"step": 0, "eval_loss": 6.0}], [{"step": 0, "eval_loss": math.inf}, {"step": 1, "loss": math.nan}]],
)
def test_a_history_that_is_short_or_not_finite_is_drawn(entries: list[dict[str, Any]]) -> None:
    assert plot_losses(entries).startswith(b"\x89PNG")
    ElementTree.fromstring(plot_losses_svg(entries, floor=0.5))


def test_a_steep_history_is_drawn_on_a_logarithmic_axis() -> None:
    flat = [{"step": 0, "eval_loss": 2.0}, {"step": 1, "eval_loss": 1.9}]
    assert "logarithmic" in plot_losses_svg(history(11), floor=0.25)
    assert "logarithmic" not in plot_losses_svg(flat)
    assert "logarithmic" in plot_losses_svg(flat, floor=0.1)
