"""The history of a training as a plot of the losses over the steps and as a Markdown table.

An entry of the history has `step` with `eval_loss`, or with `loss`, `learning_rate`, `grad_norm` and
`tokens_per_second`.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from io import BytesIO, StringIO
from math import isfinite
from typing import TYPE_CHECKING

from tasks.evaluation.tables import markdown_table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Entry = Mapping[str, float]

_ROWS = 25
"""Rows of the table before the last one; the plot shows every measurement."""

_LOG_RATIO = 4
"""From this ratio of the highest to the lowest loss, the axis is logarithmic, which shows the end of a training."""

_INK = "#010203"
"""Placeholder for the colour of the text around an SVG."""

_SERIES = (("loss", "training", "-", "#2f7fd1"), ("eval_loss", "held out", "o-", "#c8641b"))
"""Name, label, line style, and a colour that is visible on white and on black."""

_FLOOR = "#8a63c9"


def plot_losses(history: Sequence[Entry], *, floor: float | None = None) -> bytes:
    """A PNG of 900 x 450 pixels: training and held-out loss over the steps; `floor` in nats per token."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    png = BytesIO()
    FigureCanvasAgg(_figure(history, floor, (9, 4.5))).print_png(png)  # type: ignore[no-untyped-call]
    return png.getvalue()


def plot_losses_svg(history: Sequence[Entry], *, floor: float | None = None, narrow: bool = False) -> str:
    """The same plot as an `<svg>` element without background, in the font and text colour of the page around it.

    `narrow` draws it for a phone; ids differ between the two. Equal histories give equal text.
    """
    return _svg(tuple(tuple(entry.items()) for entry in history), floor, narrow)


@lru_cache(maxsize=2)
def _svg(entries: tuple[tuple[tuple[str, float], ...], ...], floor: float | None, narrow: bool) -> str:
    """Cached, since a run has two reports: the published one and the one with the timings of this machine."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    history = [dict(entry) for entry in entries]
    size, name = ((4.7, 4.2), "narrow") if narrow else ((9.6, 4.2), "wide")
    svg = StringIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": name, "font.family": "sans-serif"}):
        figure = _figure(history, floor, size, ink=_INK)
        figure.patch.set_alpha(0)
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        FigureCanvasSVG(figure).print_svg(svg, metadata=nothing)  # type: ignore[no-untyped-call]
    return _inline(svg.getvalue(), f"losses-{name}-")


def series(history: Sequence[Entry], name: str) -> tuple[list[int], list[float]]:
    """Steps and values of the entries that have `name`."""
    entries = [entry for entry in history if name in entry]
    return [int(entry["step"]) for entry in entries], [entry[name] for entry in entries]


def losses_markdown(history: Sequence[Entry], *, picture: str) -> str:
    """The picture (a URL or a data: URI) and a table of at most 26 measurements."""
    rows = [_row(history, index) for index, entry in enumerate(history) if "eval_loss" in entry]
    every = -(-len(rows) // _ROWS)
    head = ("step", "held-out loss", "training loss", "learning rate", "gradient norm", "tokens/s")
    table = markdown_table(head, [*rows[:-1:every], *rows[-1:]], rule="---:")
    return f"![losses over the steps]({picture})\n\n{table}"


def _row(history: Sequence[Entry], index: int) -> list[str]:
    """A measurement and the training entry before it."""
    trained = next((entry for entry in reversed(history[:index]) if "loss" in entry), None)
    measured = [f"{history[index]['step']:,}", f"{history[index]['eval_loss']:.4f}"]
    if trained is None:
        return [*measured, "", "", "", ""]
    return [
        *measured, f"{trained['loss']:.4f}", f"{trained['learning_rate']:.2e}", f"{trained['grad_norm']:.2f}",
        f"{trained['tokens_per_second']:,.0f}",
    ]  # fmt: skip


def _figure(
    history: Sequence[Entry], floor: float | None, size: tuple[float, float], *, ink: str = "black"
) -> "Figure":
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, dpi=100, layout="constrained")
    axes = figure.add_subplot()
    axes.patch.set_alpha(0)
    for name, label, style, colour in _SERIES:
        steps, losses = series(history, name)
        axes.plot(steps, losses, style, color=colour, label=label, markersize=4, linewidth=1.8)
    if floor is not None:
        axes.axhline(floor, linestyle="--", linewidth=1.5, color=_FLOOR, label=f"loss floor {floor:.4g}")
    scale = _scale(axes, [*_losses(history), *([floor] if floor is not None and floor > 0 else [])])
    axes.set_xlabel("step", color=ink)
    axes.set_ylabel(f"loss (nats per token{scale})", color=ink)
    axes.tick_params(colors=ink, which="both")
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(ink)
    axes.grid(alpha=0.2, color=ink)
    axes.legend(frameon=False, labelcolor=ink)
    return figure


def _losses(history: Sequence[Entry]) -> Iterator[float]:
    """The losses that are finite."""
    for name, *_ in _SERIES:
        yield from (loss for loss in series(history, name)[1] if isfinite(loss))


def _scale(axes: "Axes", values: Sequence[float]) -> str:
    """Set the scale of the loss axis and return a remark for its label, empty for a linear scale."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    lowest, highest = min(values, default=0), max(values, default=1)
    if lowest <= 0 or highest / lowest < _LOG_RATIO:
        axes.set_ylim(bottom=min(0, lowest))
        return ""
    axes.set_yscale("log")
    axes.set_ylim(lowest * 0.8, highest * 1.25)
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    return ", logarithmic"


def _inline(svg: str, prefix: str) -> str:
    """The `<svg>` element alone, with unique ids, without metadata, style sheet and XLink namespace."""
    element = svg[svg.index("<svg") :]
    element = re.sub(r"\s*<(metadata|style)\b.*?</\1>", "", element, flags=re.DOTALL)
    for attribute in (r' width="[^"]*"', r' height="[^"]*"', r' xmlns:xlink="[^"]*"'):
        element = re.sub(attribute, "", element, count=1)
    element = re.sub(r" font-family: [^;]*;", "", element).replace("xlink:href", "href")
    element = element.replace('id="', f'id="{prefix}').replace('href="#', f'href="#{prefix}')
    element = element.replace("url(#", f"url(#{prefix}").replace(_INK, "currentColor")
    attributes = 'role="img" aria-label="Losses over the steps" style="stroke-linejoin: round"'
    return element.replace("<svg ", f"<svg {attributes} ", 1).strip()
