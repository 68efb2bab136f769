"""Text files, templates and preprocessed data through the real flows, and the errors of bad input."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas
import pytest

from flows.finetune import finetune
from flows.prepare import prepare
from flows.train import train
from tasks.corpus import check_sources, make_corpus
from tasks.dataset import read_jsonl_documents
from tasks.errors import InputError
from tasks.parameters import (
    CorpusParameters,
    Group,
    ModelParameters,
    SamplingParameters,
    TokenParameters,
    TrainingParameters,
)
from tasks.settings import settings
from tasks.stage.contents import load_templates
from tests.factories import prefect_records
from tests.factories.prefect_records import run_of
from tests.factories.rows import load_rows
from tests.factories.train_runs import TEMPLATE, Run

TEXTS = ["a d f x", 'b, "e"\ng', "c d h ünï 日本", "a e f", "007", "NA"]


def as_txt(path: Path) -> Path:
    path = path.with_suffix(".txt")
    path.write_text("\n".join(text.replace("\n", " ") for text in TEXTS) + "\n", encoding="utf-8")
    return path


def as_csv(path: Path) -> Path:
    pandas.DataFrame({"n": range(len(TEXTS)), "text": TEXTS}).to_csv(path.with_suffix(".csv"), index=False)
    return path.with_suffix(".csv")


def as_jsonl(path: Path) -> Path:
    path = path.with_suffix(".jsonl")
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS))
    return path


def as_parquet(path: Path) -> Path:
    pandas.DataFrame({"text": TEXTS}).to_parquet(path.with_suffix(".parquet"))
    return path.with_suffix(".parquet")


def as_markdown(path: Path) -> Path:
    path = path.with_suffix(".md")
    path.write_text(f"# Title\n\n```spintax\n{TEMPLATE}\n```\n\nAnd {{this}} is not one.\n")
    return path


def documents_of(source: Path) -> tuple[set[str], int]:
    """The documents of the corpus of a source, and the number of templates that it keeps."""
    made = make_corpus(CorpusParameters(source=(str(source),)))
    texts = [list(read_jsonl_documents(made.folder / f"{split}.jsonl")) for split in ("train", "eval")]
    assert [len(split) for split in texts] == [made.train_documents, made.eval_documents]
    return set(texts[0] + texts[1]), len(load_templates(made))


@pytest.mark.parametrize("write", [as_txt, as_csv, as_jsonl, as_parquet])
def test_a_text_file_is_a_corpus(write: Callable[[Path], Path], server: str, tmp_path: Path) -> None:
    wanted = {text.replace("\n", " ") if write is as_txt else text for text in TEXTS}
    assert documents_of(write(tmp_path / "mine")) == (wanted, 0)


def test_a_template_in_a_markdown_fence_is_a_corpus(server: str, tmp_path: Path) -> None:
    documents, templates = documents_of(as_markdown(tmp_path / "mine"))
    assert (len(documents), templates) == (36, 1)
    assert "c e h y" in documents


def test_templates_and_text_files_can_be_mixed_and_then_there_is_no_template(server: str, tmp_path: Path) -> None:
    sources = (str(as_markdown(tmp_path / "one")), str(as_jsonl(tmp_path / "two")))
    made = make_corpus(CorpusParameters(source=sources))
    assert made.derivations is None
    assert made.documents == 36 + len(TEXTS) - 1, "one sentence is in both"
    assert made.duplicates == 1
    assert load_templates(made) == []


def test_a_source_is_found_in_the_current_folder_or_else_in_the_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    check_sources(CorpusParameters())
    (tmp_path / "data" / "templates").mkdir(parents=True)
    (tmp_path / "data" / "templates" / "cheese.spintax").write_text("{a")
    with pytest.raises(InputError, match=r"cheese\.spintax:1:1"):
        check_sources(CorpusParameters())


def prepare_with(run: Run, **groups: Group) -> Any:
    """The state of `prepare` on the data of a run."""
    return prepare(corpus=run.parameters["corpus"], **groups, return_state=True)


@pytest.mark.slow
def test_preprocessed_data_is_saved_even_if_the_tokens_are_cached_and_gives_the_same_blocks(again: Run) -> None:
    path = again.folder / "preprocessed-data.json"
    saving = TrainingParameters(save_preprocessed_data=True, save_preprocessed_data_path=str(path), max_steps=3)
    saved = prepare_with(again, training=saving)
    assert prefect_records.states(run_of(saved))["make tokens"] == ["Cached"]
    tokens = saved.result().tokens
    rows = json.loads(path.read_text())
    assert {name: len(rows[name]) for name in rows} == {"train": tokens.train_blocks, "eval": tokens.eval_blocks}
    assert rows["train"] == load_rows(tokens, "train")

    loading = TrainingParameters(load_preprocessed_data=True, load_preprocessed_data_path=str(path), max_steps=3)
    loaded = prepare_with(again, training=loading).result()
    assert loaded.tokens.key != tokens.key
    for split in ("train", "eval"):
        assert load_rows(loaded.tokens, split) == load_rows(tokens, split)
    assert finetune(tokens=loaded.tokens, base=loaded.base, training=loading).steps == 3


def test_an_edited_preprocessed_file_gives_its_own_blocks(again: Run) -> None:
    path = again.folder / "mine.json"
    row = {"attention_mask": [1] * 8, "input_ids": [1, 2, 3, 4, 5, 6, 7, 0], "labels": [1, 2, 3, 4, 5, 6, 7, 0]}
    path.write_text(json.dumps({"train": [row, row], "eval": [row]}))
    loading = TrainingParameters(load_preprocessed_data=True, load_preprocessed_data_path=str(path))
    tokens = prepare_with(again, training=loading).result().tokens
    assert (tokens.train_blocks, tokens.train_tokens, tokens.block_size) == (2, 16, 8)
    assert load_rows(tokens, "train")[0]["input_ids"] == row["input_ids"]


def test_tokens_can_be_read_by_a_person(first: Run) -> None:
    [folder] = (first.folder / "data" / "tokens").iterdir()
    preview = json.loads((folder / "preview.json").read_text())
    assert len(preview) == 20
    assert "".join(token for token, _ in preview[0]["tokens"]).replace("Ġ", " ") == preview[0]["text"]


def everything_in(folder: Path) -> set[str]:
    return {str(path) for path in folder.rglob("*")}


BAD: list[tuple[dict[str, Group], str]] = [
    ({"tokens": TokenParameters(block_size=4096)}, r"^--tokens\.block-size 4,096 is more than the 512 positions"),
    ({"corpus": CorpusParameters(template="always the same")}, r"^a corpus of at least 2 distinct documents is needed"),
    ({"sampling": SamplingParameters(prompts=("a",), max_length=512)}, r"^The prompt 'a' .*--sampling\.max-length 512"),
    (
        {"sampling": SamplingParameters(prompts=("a d " * 400,), held_out_prompts=0)},
        r"^The prompt 'a d a d .*shorten the prompt",
    ),
    ({"model": ModelParameters(name="no such model")}, r"^--model\.name no such model: there is no such folder"),
    ({"model": ModelParameters(name="/nowhere/tiny@latest")}, r"^/nowhere holds no releases"),
    ({"model": ModelParameters(type="GPT2")}, r"^--model\.name scratch-tiny is a GPT-Neo model"),
    ({"training": TrainingParameters(fp16=True)}, r"^--training\.fp16 needs a CUDA GPU"),
    (
        {"training": TrainingParameters(load_preprocessed_data=True, load_preprocessed_data_path="/no/file.json")},
        r"^/no/file\.json: there is no such file",
    ),
]


@pytest.mark.parametrize(("bad", "wanted"), BAD, ids=[wanted[1:30] for _, wanted in BAD])
def test_bad_input_fails_the_run_with_one_sentence_and_leaves_nothing_half_written(
    bad: dict[str, Group], wanted: str, again: Run, caplog: pytest.LogCaptureFixture
) -> None:
    kept = everything_in(settings().data)
    caplog.clear()
    state = train(**{**again.parameters, **bad}, return_state=True)
    assert state.is_failed()
    error = state.result(raise_on_failure=False)
    assert isinstance(error, InputError)
    assert re.search(wanted, str(error))
    messages = [record.getMessage() for record in caplog.records]
    assert messages.count(str(error)) == 1, "besides the names of states, the sentence is logged once"
    assert all(record.exc_info is None for record in caplog.records)
    assert "Traceback" not in caplog.text
    left = everything_in(settings().data) - kept
    assert not [path for path in left if ".partial" in path]
    recorded = prefect_records.read_flow_run(run_of(state))
    assert recorded.state is not None
    assert recorded.state.name == "Failed"
