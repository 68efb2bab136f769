"""What a person reads of a run: its whole log, as `python flows/train.py` writes it."""

import re
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import pytest

from tasks.evaluation.corpus.figures import CorpusReport
from tasks.evaluation.corpus.text import report_text
from tests.factories.commands import Ended, run_script
from tests.factories.train_runs import TINY

pytestmark = pytest.mark.slow

STORY = [
    "release", "corpus", "base model", "tokens", "report", "samples", "training", "weights", "champion", "held out",
    "samples", "held out", "comparison", "gate", "release",
]  # fmt: skip
STAGES = {"corpus", "base model", "tokens", "weights", "held out", "comparison"}
TIME = r"\d\d:\d\d:\d\d "
FEW_ROWS = "WARNING: tokens: the corpus packs into only 5 rows of 32 tokens to train on, that is 5 optimizer steps"


@dataclass(frozen=True)
class Folders:
    """Where runs leave their data and their release."""

    folder: Path

    def run(self, script: str, *words: object) -> Ended:
        env = {"HOME": "home", "SPINNERET_DATA": "data", "PREFECT_RESULTS_LOCAL_STORAGE_PATH": "results"}
        return run_script(
            script, *TINY[:2], *words, timeout_s=200, **{name: str(self.folder / at) for name, at in env.items()}
        )

    def train(self, *words: object) -> Ended:
        return self.run(
            "train", *TINY[2:], "--release.destination", self.folder / "store", "--training.max-steps", 3, *words
        )

    def report(self) -> list[str]:
        [path] = (self.folder / "data" / "report").glob("*/report.json")
        return report_text(CorpusReport.model_validate_json(path.read_bytes())).splitlines()


@pytest.fixture(scope="module")
def folders(session_home: None, tmp_path_factory: pytest.TempPathFactory) -> Folders:
    folder = tmp_path_factory.mktemp("logs")
    (folder / "home").mkdir()
    return Folders(folder)


@pytest.fixture(scope="module")
def fresh(folders: Folders) -> Ended:
    return folders.train()


@pytest.fixture(scope="module")
def cached(folders: Folders, fresh: Ended) -> Ended:
    return folders.train()


def timed(ended: Ended) -> list[str]:
    """The log's lines without their times."""
    return [line.removeprefix(line[:9]) for line in ended.err.splitlines() if re.match(TIME, line)]


def nouns(lines: list[str]) -> list[str]:
    """The first words of the lines, without repetitions."""
    return [noun for noun, _ in groupby(line.removeprefix("WARNING: ").partition(":")[0] for line in lines)]


def test_the_log_has_one_stage_after_the_other_and_no_line_twice(fresh: Ended) -> None:
    assert fresh.code == 0, fresh.err
    lines = timed(fresh)
    assert nouns(lines) == STORY
    assert len(set(lines)) == len(lines)


def test_each_stage_has_its_counts_and_the_time_that_it_took(fresh: Ended) -> None:
    took = r" \[[\d,.]+ (ms|s)\]"
    lines = timed(fresh)
    assert [line for line in lines if line.partition(":")[0] in STAGES and not re.search(took + "$", line)] == []
    assert sum(bool(re.search(took, line)) for line in lines) == 10
    assert re.fullmatch(r"corpus: 36 documents of 36 .*, 32 to train on, 4 held out" + took, lines[1])
    assert re.fullmatch(r"base model: scratch-tiny, 922,880 random weights, .*" + took, lines[2])


def test_the_only_other_lines_are_the_corpus_report_and_the_url_of_the_run(fresh: Ended, folders: Folders) -> None:
    first, *others = [line for line in fresh.err.splitlines() if not re.match(TIME, line)]
    assert re.fullmatch(
        r"watch it at http://127\.0\.0\.1:\d+/v2/runs/flow-run/[-\da-f]+, as long as the run lasts", first
    )
    assert others == folders.report(), "no line of a library, and none of Prefect"


def test_a_warning_is_logged_once_as_a_warning(fresh: Ended) -> None:
    assert [line for line in timed(fresh) if "WARNING" in line] == [line for line in timed(fresh) if FEW_ROWS in line]
    assert fresh.err.count(FEW_ROWS) == 1


def test_a_cached_stage_is_logged_once_as_cached(cached: Ended) -> None:
    lines = timed(cached)
    assert nouns(lines) == [noun for noun in STORY if noun != "training"]
    stages = [line for line in lines if ": cached, " in line]
    assert len(stages) == len(set(stages)) == 10
    assert len(set(lines)) == len(lines)
    assert " ms]" not in cached.err


def test_quiet_shows_only_the_end_of_the_run_and_warnings(cached: Ended, folders: Folders, tmp_path: Path) -> None:
    quiet = folders.train("--quiet")
    assert (quiet.code, quiet.err) == (0, "")
    assert quiet.out == cached.out
    assert "\nrelease        " in quiet.out
    (tmp_path / "home").mkdir()
    warned = Folders(tmp_path).run("prepare", "--quiet")
    assert (warned.code, warned.out) == (0, "")
    assert re.fullmatch(TIME + re.escape(FEW_ROWS) + ".*\n", warned.err)


def test_verbose_shows_everything_with_the_traceback_of_an_error(fresh: Ended, folders: Folders) -> None:
    verbose = folders.run("prepare", "--verbose", "--tokens.block-size", 4096)
    assert verbose.code == 2
    assert "Beginning flow run" in verbose.err
    assert "Finished in state Cached" in verbose.err
    assert "httpx - HTTP Request: POST" in verbose.err
    assert "corpus: cached, 36 documents" in verbose.err
    assert "Traceback (most recent call last)" in verbose.err
    assert verbose.err.count("\nerror: --tokens.block-size 4,096 is more than") == 1
