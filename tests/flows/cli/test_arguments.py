import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, model_serializer
from pydantic_core import PydanticSerializationError, PydanticUndefined

from flows.cli.command import _ending
from flows.prepare import prepare
from flows.sample import sample
from flows.train import train
from tasks.corpus import check_sources
from tasks.errors import InputError
from tasks.parameters import (
    CorpusParameters,
    Group,
    ModelParameters,
    ReleaseParameters,
    SampledModelParameters,
    SamplingParameters,
    TokenParameters,
    TrainingParameters,
    flag,
)
from tasks.settings import ROOT, settings
from tests.factories.commands import Ended, parse_parameters, run_here, run_script

GROUPS: dict[str, dict[str, type[Group]]] = {
    "train": {
        "corpus": CorpusParameters, "tokens": TokenParameters, "model": ModelParameters,
        "training": TrainingParameters, "sampling": SamplingParameters, "release": ReleaseParameters,
    },
    "prepare": {
        "corpus": CorpusParameters, "tokens": TokenParameters, "model": ModelParameters,
        "training": TrainingParameters,
    },
    "sample": {"model": SampledModelParameters, "sampling": SamplingParameters, "release": ReleaseParameters},
}  # fmt: skip

HELP = """
import atexit, runpy, sys
heavy = {"torch", "boto3", "botocore", "transformers", "happytransformer", "pandas", "pyarrow", "datasets"}
atexit.register(lambda: print("HEAVY:", *sorted(heavy & set(sys.modules))))
sys.argv = [f"flows/{sys.argv[1]}.py", "--help"]
sys.path.insert(0, "flows")
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Any:
    """Run `train` in this process with arguments that it must refuse; the data folder is not even made."""

    def run(*words: object) -> Ended:
        capsys.readouterr()
        return run_here(train, list(map(str, words)), capsys, lambda parameters: check_sources(parameters["corpus"]))

    yield run
    assert not settings().data.exists()


def plain(text: str) -> str:
    """The text without the frames and line breaks of its panels."""
    return re.sub(r"\s+", " ", re.sub(r"[│╭╮╰╯─]", " ", text))


@pytest.mark.parametrize("script", list(GROUPS))
def test_help_lists_every_field_with_description_default_and_limits_and_imports_nothing_heavy(script: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", HELP, script],
        cwd=ROOT, env={**os.environ, "COLUMNS": "240"}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    shown, _, heavy = done.stdout.rpartition("HEAVY:")
    assert heavy.split() == []
    text = re.sub(r" \[choices: [^]]+\]", "", plain(shown))
    assert f"python flows/{script}.py" in text
    for name, group in GROUPS[script].items():
        for field, info in group.model_fields.items():
            assert info.default is not PydanticUndefined
            assert flag(name, field) in text
            assert info.description
            assert plain(info.description) in text, "with its limits"
            default = '""' if info.default == "" else str(info.default)
            if info.default is not None:
                assert f"{flag(name, field)}" in text
                assert plain(f"{info.description} [default: {default}]") in text
    assert not settings().data.exists()


def test_without_arguments_everything_has_its_default() -> None:
    groups = {name: group() for name, group in GROUPS["train"].items()}
    assert parse_parameters(train, []) == {**groups, "finetune_on": None, "skip_unchanged": False, "force": False}


def test_flags_override_the_file_and_the_file_overrides_defaults(tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text(
        "training: {batch_size: 4, learning_rate: 8.0e-5, fp16: true}\nsampling: {prompts: [x, y y]}\n"
    )
    given = parse_parameters(
        train, ["--config", str(tmp_path / "run.yaml"), "--training.batch-size", "2", "--training.no-fp16"]
    )
    assert given["training"] == TrainingParameters(batch_size=2, learning_rate=8e-5, fp16=False)
    assert given["sampling"] == SamplingParameters(prompts=("x", "y y"))
    assert given["corpus"] == CorpusParameters()


def test_a_list_on_the_command_line_replaces_that_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text("sampling: {prompts: [x, y]}\n")
    given = parse_parameters(
        train, ["--config", str(tmp_path / "run.yaml"), "--sampling.prompts", "one", "--sampling.prompts=two"]
    )
    assert given["sampling"].prompts == ("one", "two")


@pytest.mark.parametrize(
    ("words", "group", "field", "value"),
    [
        (["--training.learning-rate", "8e-5"], "training", "learning_rate", 8e-5),
        (["--training.learning_rate", "8e-5"], "training", "learning_rate", 8e-5),
        (["--training.num-train-epochs=2"], "training", "num_train_epochs", 2.0),
        (["--training.save-preprocessed-data-path", "a b.json"], "training", "save_preprocessed_data_path", "a b.json"),
        (["--corpus.template", "{a|b} {c|d}"], "corpus", "template", "{a|b} {c|d}"),
        (["--corpus.source", "a.txt", "--corpus.source", "b.csv"], "corpus", "source", ("a.txt", "b.csv")),
        (
            ["--sampling.prompts", "To make ", "--sampling.prompts", "you can"],
            "sampling",
            "prompts",
            ("To make ", "you can"),
        ),
        (["--sampling.bad-words", "mayo"], "sampling", "bad_words", ("mayo",)),
        (["--sampling.no-do-sample"], "sampling", "do_sample", False),
        (["--training.fp16"], "training", "fp16", True),
        (["--tokens.block-size", "64"], "tokens", "block_size", 64),
    ],
)
def test_a_flag_sets_its_field(words: list[str], group: str, field: str, value: object) -> None:
    assert getattr(parse_parameters(train, words)[group], field) == value


def test_the_prompts_of_sample_need_no_flag() -> None:
    assert parse_parameters(sample, ["you can", "To make "])["prompts"] == ("you can", "To make ")
    assert parse_parameters(sample, [])["model"] == SampledModelParameters(name="latest")
    assert set(parse_parameters(prepare, [])) == set(GROUPS["prepare"])


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("training: {batch_sise: 4}", r"batch.sise.*Did you mean .*batch.size"),
        ("trainin: {batch_size: 4}", r"trainin.*Did you mean .*training"),
        ("training: {batch_size: 0}", r"--training\.batch-size: got '?0'?, it should be greater than or equal to 1"),
        ("training: {batch_size: many}", r"batch-size.*many"),
        ("training: {learning_rate: 8e-5}", None),
        ("training: [1, 2]", r"wanted groups of parameters"),
        ("- 1", r"wanted groups of parameters"),
        ("", r"wanted groups of parameters"),
        ("training: {batch_size: 4\nx: ]", r"run\.yaml:\d:\d: not valid YAML"),
        ("training:\n\tbatch_size: 4", r"run\.yaml:2:1: not valid YAML"),
        ("a: \x00", r"run\.yaml.*not valid YAML"),
    ],
)
def test_a_bad_parameter_file_is_reported_in_one_sentence(
    text: str, wanted: str | None, command: Any, tmp_path: Path
) -> None:
    (tmp_path / "run.yaml").write_text(text)
    words = ["--config", tmp_path / "run.yaml"]
    if wanted is None:
        assert parse_parameters(train, list(map(str, words)))["training"].learning_rate == 8e-5
    else:
        assert re.search(wanted, command(*words).sentence)


def test_a_parameter_file_that_cannot_be_read_is_named(command: Any, tmp_path: Path) -> None:
    assert f"--config {tmp_path}/none.yaml: cannot be read" in command("--config", tmp_path / "none.yaml").sentence
    assert f"--config {tmp_path}: cannot be read" in command("--config", tmp_path).sentence
    (tmp_path / "latin.yaml").write_bytes(b"corpus: {template: \xe9}")
    assert "latin.yaml: cannot be read" in command("--config", tmp_path / "latin.yaml").sentence


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["--training.batch-sise", "3"], r"--training\.batch-sise.*Did you mean --training\.batch-size\?"),
        (["--trainin.batch-size", "3"], r"--trainin\.batch-size.*Did you mean --training\.batch-size\?"),
        (["--training.batch-size", "0"], r"--training\.batch-size: got .*0.*greater than or equal to 1"),
        (["--training.learning-rate", "2"], r"--training\.learning-rate: got .*2.*less than or equal to 1"),
        (["--training.learning-rate", "nan"], r"--training\.learning-rate: got"),
        (["--training.batch-size", "many"], r"--training\.batch-size"),
        (["--training.batch-size"], r"--training\.batch-size"),
        (["--training.save-preprocessed-data"], r"--training: .*save_preprocessed_data_path is empty"),
        (["--sampling.min-length", "60"], r"--sampling: min_length \(60\) is larger than max_length \(50\)"),
        (["--sampling.prompts", ""], r"--sampling: prompts has an empty prompt"),
        (["--release.name", "a/b"], r"--release\.name"),
        (["--corpus.num-documents", "1"], r"--corpus\.num-documents: got .*1.*greater than or equal to 2"),
        (["--model.name"], r"--model\.name"),
        (["word"], r"'word' belongs to no flag"),
        (["--corpus.source", "a.txt", "b.txt"], r"'b\.txt' belongs to no flag; .*repeat it for each"),
    ],
)
def test_a_bad_argument_is_reported_in_one_sentence_that_names_the_flag(
    words: list[str], wanted: str, command: Any
) -> None:
    ended = command(*words)
    assert re.search(wanted, ended.sentence)
    assert ended.sentence.count("\n") == 1
    assert ended.out == ""


def test_a_source_that_is_missing_or_has_an_unknown_ending_is_reported(command: Any, tmp_path: Path) -> None:
    assert "none.txt: there is no such file" in command("--corpus.source", tmp_path / "none.txt").sentence
    assert "none.spintax" in command("--corpus.source", tmp_path / "none.spintax").sentence
    (tmp_path / "a.docx").touch()
    said = command("--corpus.source", tmp_path / "a.docx").sentence
    assert re.search(
        r"--corpus\.source .*a\.docx: the file extension '\.docx' is not one of .*\.spintax.*\.parquet", said
    )
    assert "is a folder" in command("--corpus.source", folder_named(tmp_path, "a.txt")).sentence


def folder_named(tmp_path: Path, name: str) -> Path:
    (tmp_path / name).mkdir()
    return tmp_path / name


@pytest.mark.parametrize(
    ("name", "content", "wanted"),
    [
        ("a.txt", b"", r"a\.txt: the file is empty"),
        ("a.csv", b"", r"a\.csv: the file is empty"),
        ("a.spintax", b"", r"a\.spintax: there is no template, only blank lines"),
        ("a.txt", b"tw\xe9\n", r"a\.txt:1: byte 0xe9 at offset 2 .*UTF-8"),
        ("a.spintax", b"{a|b}\n{c|\xff}", r"a\.spintax:2.*UTF-8"),
        ("a.csv", b"body,n\nx,1\n", r"a\.csv: there is no column 'text' but 'body', 'n'.*--corpus\.column"),
        ("a.jsonl", b'{"body": "x"}\n', r"a\.jsonl:1: there is no column 'text'.*--corpus\.column"),
        ("a.jsonl", b'{"text": "x"\n', r"a\.jsonl:1: not JSON"),
        ("a.parquet", b"PAR1", r"a\.parquet: not a parquet file"),
        ("a.md", b"# No template here\n", r"a\.md.*template"),
    ],
)
def test_a_source_that_cannot_be_used_is_reported_before_anything_starts(
    name: str, content: bytes, wanted: str, command: Any, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    assert re.search(wanted, command("--corpus.source", tmp_path / name).sentence)


def test_an_unbalanced_template_is_shown_with_a_caret_under_the_column(command: Any, tmp_path: Path) -> None:
    (tmp_path / "a.spintax").write_text("{you|we} can {build|make a sandwich\n")
    lines = command("--corpus.source", tmp_path / "a.spintax").sentence.splitlines()
    assert re.match(rf"error: {re.escape(str(tmp_path))}/a\.spintax:1:14: ", lines[0])
    assert lines[1] == "{you|we} can {build|make a sandwich"
    assert lines[2] == " " * 13 + "^"
    typed = command("--corpus.template", "a } b").sentence.splitlines()
    assert typed[0].startswith("error: corpus.template:1:3: ")
    assert typed[1:] == ["a } b", "  ^"]


def test_an_empty_list_of_sources_is_reported() -> None:
    with pytest.raises(InputError, match=r"--corpus\.source names no file"):
        check_sources(CorpusParameters(source=()))


@pytest.mark.parametrize(
    ("number", "code", "word"), [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")]
)
def test_a_signal_ends_the_command_although_a_library_turns_it_into_another_error(
    number: signal.Signals, code: int, word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    class Model(BaseModel):
        @model_serializer
        def write(self) -> dict[str, int]:
            signal.raise_signal(number)
            return {}

    with pytest.raises(PydanticSerializationError), _ending("nothing is lost"):
        raise PydanticSerializationError("nobody sent a signal")
    with pytest.raises(SystemExit) as ended, _ending("nothing is lost"):
        Model().model_dump()
    assert ended.value.code == code
    assert capsys.readouterr().err == f"{word}: nothing is lost\n"


def test_a_misspelt_flag_gives_one_sentence_and_exit_code_2() -> None:
    ended = run_script("train", "--training.batch-sise", 3)
    assert ended.err == (
        "error: Unknown option: --training.batch-sise. Did you mean --training.batch-size? See --help.\n"
    )
    assert (ended.code, ended.out) == (2, "")
    assert not settings().data.exists()
