"""Run commands in this process (for errors before any server starts) or as a person does."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from prefect import Flow

from flows.cli.arguments import parse_arguments
from flows.cli.command import run
from tasks.settings import ROOT


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def sentence(self) -> str:
        """The one error, with the lines that belong to it."""
        lines = self.err.splitlines()
        assert sum(line.startswith("error: ") for line in lines) == 1, self.err
        assert "Traceback" not in self.err + self.out
        assert self.code == 2, self.err
        return self.err[self.err.index("error: ") :]


def parse_parameters(flow: Flow[..., Any], words: list[str]) -> dict[str, Any]:
    """The parameters of a flow on a command line."""
    return parse_arguments(flow.fn, words, script=flow.name).parameters


def run_here(
    flow: Flow[..., Any],
    words: list[str],
    capture: pytest.CaptureFixture[str],
    check: Callable[[dict[str, Any]], None] | None = None,
) -> Ended:
    """Run a command in this process, as `python flows/<name>.py` does."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [f"flows/{flow.name}.py", *words])
        with pytest.raises(SystemExit) as ended:
            run(flow, check=check)
    out, err = capture.readouterr()
    assert isinstance(ended.value.code, int)
    return Ended(ended.value.code, out, err)


def run_script(script: str, *words: object, timeout_s: float = 120, **env: str) -> Ended:
    """Run `python flows/<script>.py` as a person does, from the root of the project."""
    done = subprocess.run(
        [sys.executable, f"flows/{script}.py", *map(str, words)],
        cwd=ROOT, env={**os.environ, **env}, capture_output=True, text=True, check=False, timeout=timeout_s,
    )  # fmt: skip
    return Ended(done.returncode, done.stdout, done.stderr)
