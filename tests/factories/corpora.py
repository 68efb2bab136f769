"""Corpora that are prepared from texts and read back."""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tasks.dataset import Counts, prepare
from tasks.parameters import CorpusParameters


@dataclass
class Prepared:
    """What `prepare` wrote and counted."""

    train: list[str]
    evaluation: list[str]
    counts: Counts


def prepared(
    texts: Iterable[str], held_out: Callable[[str], bool] | None = None, memory: int = 2**30, **parameters: Any
) -> Prepared:
    """Prepare a corpus in a temporary folder and read it back."""
    with TemporaryDirectory() as folder:
        counts = prepare(texts, Path(folder), CorpusParameters(**parameters), held_out=held_out, memory=memory)
        left = sorted(path.name for path in Path(folder).iterdir())
        assert left == ["eval.jsonl", "train.jsonl"], "no scratch file is left"
        train, evaluation = (
            [json.loads(line)["text"] for line in (Path(folder) / name).read_bytes().split(b"\n")[:-1]]
            for name in ("train.jsonl", "eval.jsonl")
        )
    assert (counts.train, counts.evaluation) == (len(train), len(evaluation))
    return Prepared(train, evaluation, counts)
