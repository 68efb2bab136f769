"""Options, targets and output that all benchmarks share."""

import argparse
import json
import operator
from collections.abc import Iterable, Mapping
from typing import Any

Target = tuple[str, str, float]
"""The name of a figure, "at least" or "at most", and the bound."""

_MEETS = {"at least": operator.ge, "at most": operator.le}


def command_line(description: str, *, quick: str) -> argparse.ArgumentParser:
    """Return a parser with the options `--json` and `--quick`; `quick` describes what `--quick` does."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    parser.add_argument("--quick", action="store_true", help=f"{quick}, to check that everything runs")
    return parser


def show(
    figures: Mapping[str, float], targets: Iterable[Target], options: argparse.Namespace, *, digits: int = 2
) -> None:
    """Print the figures and the verdict on each target: a table, or with `--json` one JSON object."""
    verdicts = judge(figures, targets)
    if options.json:
        print(json.dumps({"quick": options.quick, "figures": figures, "targets": verdicts}))
        return
    for name, value in figures.items():
        print(f"{name:<44}{value:>18,.{0 if value > 1000 else digits}f}")
    for verdict in verdicts:
        print(f"{'met' if verdict['met'] else 'MISSED':<8}{verdict['target']}: {verdict['value']:,.{digits}f}")


def judge(figures: Mapping[str, float], targets: Iterable[Target]) -> list[dict[str, Any]]:
    """Return each target, its value, and whether it is met; targets whose figure was not measured are left out."""
    return [
        {"target": f"{name} {how} {bound}", "value": figures[name], "met": _MEETS[how](figures[name], bound)}
        for name, how, bound in targets
        if name in figures
    ]
