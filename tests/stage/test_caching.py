"""The cache policy with a real Prefect server: when a task run ends as Cached, and when the task runs."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from prefect import State, flow, task

from tasks.corpus import make_corpus
from tasks.errors import InputError, UnavailableError
from tasks.observability import logs
from tasks.parameters import CorpusParameters, TrainingParameters
from tasks.settings import ROOT
from tasks.stage.caching import retry_can_help
from tasks.stage.folders import Facts, digest, read_manifest
from tasks.stage.references import Samples
from tasks.stage.stage import stage
from tasks.weights import weights_key
from tests.factories.references import TEMPLATE, blocks, model

TYPED = CorpusParameters(template=TEMPLATE)

ELSEWHERE = """
from tasks.corpus import make_corpus
from tasks.parameters import CorpusParameters

typed = CorpusParameters.model_validate_json({typed!r})
first = make_corpus(typed, return_state=True)
file = first.result().folder / "train.jsonl"
file.write_text(file.read_text().replace("x", "y"))
second = make_corpus(typed, return_state=True)
third = make_corpus(typed, return_state=True)
print(first.name, second.name, third.name, second.result().model_dump_json())
"""

pytestmark = pytest.mark.usefixtures("server")


def state_of(corpus: CorpusParameters) -> str:
    """How the task run ended: Cached, or Completed where it worked."""
    return make_corpus(corpus, return_state=True).name or ""


def test_the_second_time_is_cached_and_gives_the_same_reference() -> None:
    first = make_corpus(TYPED, return_state=True)
    second = make_corpus(TYPED, return_state=True)
    assert (first.name, second.name) == ("Completed", "Cached")
    assert second.result() == first.result()


@flow(log_prints=True)
def asks_twice() -> None:
    logs.start_run()
    make_corpus(TYPED)
    make_corpus(TYPED)


def test_a_stage_is_logged_once_in_a_run_with_its_time_and_as_cached_in_the_next(
    caplog: pytest.LogCaptureFixture,
) -> None:
    asks_twice()
    asks_twice()
    made, cached = [line for line in caplog.messages if line.startswith("corpus: ")]
    assert re.fullmatch(r"corpus: 12 documents of 12 .* held out \[\d+ ms\]", made)
    assert re.fullmatch(r"corpus: cached, 12 documents of 12 .* held out", cached)


def test_a_folder_without_a_result_record_is_logged_as_cached(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    asks_twice()
    shutil.rmtree(tmp_path / "results")
    caplog.clear()
    asks_twice()
    assert next(line for line in caplog.messages if line.startswith("corpus: ")).startswith("corpus: cached, 12 doc")


def folder_removed(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()


def file_deleted(folder: Path) -> None:
    (folder / "eval.jsonl").unlink()


def file_altered(folder: Path) -> None:
    path = folder / "train.jsonl"
    path.write_text(path.read_text().replace("x", "y"))


def manifest_deleted(folder: Path) -> None:
    (folder / "manifest.json").unlink()


@pytest.mark.parametrize("damage", [folder_removed, file_deleted, file_altered, manifest_deleted])
def test_a_damaged_folder_is_made_again(damage: Callable[[Path], None]) -> None:
    made = make_corpus(TYPED)
    whole = read_manifest(made.folder)
    assert whole is not None
    damage(made.folder)
    again = make_corpus(TYPED, return_state=True)
    assert again.name == "Completed"
    assert again.result() == made
    mended = read_manifest(made.folder)
    assert mended is not None
    assert mended["files"] == whole["files"]
    assert state_of(TYPED) == "Cached"


def test_another_process_uses_the_cached_folder_and_notices_damage(server: str, tmp_path: Path) -> None:
    made = make_corpus(TYPED)
    env = {**os.environ, "PREFECT_API_URL": server, "PREFECT_LOGGING_LEVEL": "ERROR"}
    done = subprocess.run(
        [sys.executable, "-c", ELSEWHERE.format(typed=TYPED.model_dump_json())],
        cwd=ROOT, env=env, capture_output=True, text=True, check=True,
    )  # fmt: skip
    *names, reference = done.stdout.splitlines()[-1].split(maxsplit=3)
    assert names == ["Cached", "Completed", "Cached"]
    assert type(made).model_validate_json(reference) == made
    assert state_of(TYPED) == "Cached"


def test_a_record_that_names_a_module_where_its_class_no_longer_is_is_stale(tmp_path: Path) -> None:
    made = make_corpus(TYPED)
    [record] = (tmp_path / "results").iterdir()
    record.write_text(record.read_text().replace(type(made).__module__, "tasks.once_here"))
    again = make_corpus(TYPED, return_state=True)
    assert (again.name, again.result()) == ("Completed", made)
    assert state_of(TYPED) == "Cached"


@pytest.mark.parametrize(
    "damage",
    [
        lambda text, module: text.replace(module, "tasks.once_here"),
        lambda text, module: text.replace(f"{module}.Corpus", f"{module}.ModelReference"),
        lambda text, module: "",
        lambda text, module: text[: len(text) // 2],
    ],
    ids=["its class was moved", "another class", "emptied", "cut off"],
)
def test_a_record_that_does_not_give_the_reference_is_stale(tmp_path: Path, damage: Callable[[str, str], str]) -> None:
    made = make_corpus(TYPED)
    [record] = (tmp_path / "results").iterdir()
    record.write_text(damage(record.read_text(), type(made).__module__))
    again = make_corpus(TYPED, return_state=True)
    assert (again.name, again.result()) == ("Completed", made)
    assert state_of(TYPED) == "Cached"


def test_a_whole_folder_without_its_result_record_is_used_unchanged(tmp_path: Path) -> None:
    made = make_corpus(TYPED)
    inode = made.folder.stat().st_ino
    for record in (tmp_path / "results").iterdir():
        record.unlink()
    assert make_corpus(TYPED) == made
    assert made.folder.stat().st_ino == inode


def test_a_changed_parameter_is_a_miss() -> None:
    assert state_of(TYPED) == "Completed"
    assert state_of(TYPED.model_copy(update={"seed": 1})) == "Completed"
    assert state_of(TYPED.model_copy(update={"num_documents": 5})) == "Completed"
    assert state_of(TYPED) == "Cached"


def test_a_corpus_depends_on_the_content_of_a_source_and_not_on_its_name_or_time(tmp_path: Path) -> None:
    one, other = tmp_path / "one.txt", tmp_path / "other.txt"
    one.write_text("a\nb\nc\n")
    assert state_of(CorpusParameters(source=(str(one),))) == "Completed"
    one.rename(other)
    os.utime(other, (0, 0))
    assert state_of(CorpusParameters(source=(str(other),))) == "Cached"
    other.write_text("a\nb\nd\n")
    os.utime(other, (0, 0))
    assert state_of(CorpusParameters(source=(str(other),))) == "Completed"


def test_parameters_that_do_not_change_the_output_are_a_hit() -> None:
    filled: list[str] = []

    @stage(Samples, "stage", lambda training: weights_key(blocks().sha256, model().sha256, training))
    def counted(folder: Path, training: TrainingParameters) -> Facts:
        filled.append(folder.name)
        (folder / "samples.json").write_text("[]")
        return {"count": 0, "valid": None}

    changes: tuple[dict[str, object], ...] = ({}, {"preprocessing_processes": 2}, {"seed": 3})
    states: list[Any] = [counted(TrainingParameters.model_validate(changed), return_state=True) for changed in changes]
    assert [state.name for state in states] == ["Completed", "Cached", "Completed"]
    assert len(filled) == 2


def test_bad_input_is_reported_by_the_task_and_not_by_the_policy(tmp_path: Path) -> None:
    state = make_corpus(CorpusParameters(source=(str(tmp_path / "none.txt"),)), return_state=True)
    assert state.is_failed()
    assert isinstance(state.result(raise_on_failure=False), InputError)


@pytest.mark.parametrize(
    ("error", "attempts"),
    [(UnavailableError("no answer"), 3), (InputError("wrong"), 1), (ValueError("defect"), 1), (MemoryError(), 1)],
    ids=lambda value: type(value).__name__,
)
def test_only_an_unavailable_service_is_retried_and_with_a_warning(
    error: Exception, attempts: int, caplog: pytest.LogCaptureFixture
) -> None:
    logs.install()
    tried: list[int] = []

    @task(retries=2, retry_delay_seconds=0, retry_condition_fn=retry_can_help, persist_result=False)
    def fail() -> None:
        tried.append(1)
        raise error

    state: State[None] = fail(return_state=True)
    assert state.is_failed()
    assert len(tried) == attempts
    assert sum(one.levelname == "WARNING" and " - Retry " in one.getMessage() for one in caplog.records) == attempts - 1


def test_the_key_is_the_name_of_the_record(tmp_path: Path) -> None:
    made = make_corpus(TYPED)
    assert [path.name for path in (tmp_path / "results").iterdir()] == [f"corpus-{made.key}"]
    assert len(made.key) == len(digest())


def test_a_warning_of_a_run_is_logged_with_the_level_of_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    @flow
    def warns() -> None:
        logs.log_warning("tokens", "5 % are few")

    warns()
    assert [(one.levelname, one.getMessage()) for one in caplog.records if "few" in one.getMessage()] == [
        ("WARNING", "tokens: 5 % are few")
    ]
