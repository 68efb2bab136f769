"""Losses: the history of a training as a picture and as a table.

What comes in: the entries of the history (`step` with `eval_loss`, or with `loss` and what belongs to it). What it
leaves: a PNG with both losses over the steps, and Markdown with the picture and a row for each measurement.
"""

from collections.abc import Mapping, Sequence
from io import BytesIO

Entry = Mapping[str, float]

_ROWS = 25
"""Rows of the table, but for the last one: the picture has all of it."""


def draw_losses(history: Sequence[Entry]) -> bytes:
    """A PNG, 900 x 450 pixels: training loss and held-out loss in nats a token over the steps."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4.5), dpi=100, layout="constrained")
    axes = figure.add_subplot(xlabel="step", ylabel="loss (nats a token)")
    for name, label, style in (("loss", "training", "-"), ("eval_loss", "held out", "o-")):
        steps, losses = series(history, name)
        axes.plot(steps, losses, style, label=label, markersize=4, linewidth=1.5)
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend()
    png = BytesIO()
    FigureCanvasAgg(figure).print_png(png)  # type: ignore[no-untyped-call]
    return png.getvalue()


def series(history: Sequence[Entry], name: str) -> tuple[list[int], list[float]]:
    """Steps and values of the entries that have `name`."""
    having = [entry for entry in history if name in entry]
    return [int(entry["step"]) for entry in having], [entry[name] for entry in having]


def losses_markdown(history: Sequence[Entry], *, picture: str) -> str:
    """The picture (an address, or a data: URI) and a table of the measurements, some 25 at most."""
    lines = [f"![losses over the steps]({picture})", ""]
    lines += ["| step | held-out loss | training loss | learning rate | gradient norm | tokens/s |"]
    lines += ["| ---: | ---: | ---: | ---: | ---: | ---: |"]
    rows = [_row(history, place) for place, entry in enumerate(history) if "eval_loss" in entry]
    every = -(-len(rows) // _ROWS)
    return "\n".join([*lines, *rows[:-1:every], *rows[-1:]]) + "\n"


def _row(history: Sequence[Entry], place: int) -> str:
    """A measurement with the training entry before it."""
    trained = next((entry for entry in reversed(history[:place]) if "loss" in entry), None)
    cells = [f"{history[place]['step']:,}", f"{history[place]['eval_loss']:.4f}"]
    if trained is None:
        return f"| {' | '.join([*cells, '', '', '', ''])} |"
    cells += [f"{trained['loss']:.4f}", f"{trained['learning_rate']:.2e}", f"{trained['grad_norm']:.2f}"]
    cells += [f"{trained['tokens_per_second']:,.0f}"]
    return f"| {' | '.join(cells)} |"
