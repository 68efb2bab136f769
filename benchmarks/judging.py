"""What the benchmarks share as commands: their options, what is aimed at, and how both are shown.

What comes in: figures by name, and aims. What it leaves: a table, or one JSON object with --json: `quick`, `figures`,
`targets` (`target`, `value`, `met`). A sibling of the benchmarks, as measuring.py is.
"""

import argparse
import json
import operator
from collections.abc import Iterable, Mapping
from typing import Any

Aim = tuple[str, str, float]
"""The name of a figure, "at least" or "at most", and the bound."""

_MEETS = {"at least": operator.ge, "at most": operator.le}


def command_line(description: str, *, quick: str) -> argparse.ArgumentParser:
    """The options that every benchmark has, `json` and `quick`; the argument says what is done with --quick."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    parser.add_argument("--quick", action="store_true", help=f"{quick}, to see that everything runs")
    return parser


def show(figures: Mapping[str, float], aims: Iterable[Aim], options: argparse.Namespace, *, digits: int = 2) -> None:
    """Print the figures and what of the aims they meet; an aim whose figure was not measured is left out."""
    targets = judge(figures, aims)
    if options.json:
        print(json.dumps({"quick": options.quick, "figures": figures, "targets": targets}))
        return
    for name, value in figures.items():
        print(f"{name:<44}{value:>18,.{0 if value > 1000 else digits}f}")
    for target in targets:
        print(f"{'met' if target['met'] else 'MISSED':<8}{target['target']}: {target['value']:,.{digits}f}")


def judge(figures: Mapping[str, float], aims: Iterable[Aim]) -> list[dict[str, Any]]:
    """Each aim, what came out, and whether that meets it."""
    return [
        {"target": f"{name} {how} {aim}", "value": figures[name], "met": _MEETS[how](figures[name], aim)}
        for name, how, aim in aims
        if name in figures
    ]
