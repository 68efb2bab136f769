"""The tokens stage: no token is lost, and the four parameters of preprocessed data do what the documentation says."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest

from tasks.dataset import IGNORED_LABEL, write_documents
from tasks.errors import InputError
from tasks.modeling import tokenization
from tasks.modeling.blocks import Blocks
from tasks.modeling.tokenization import Batches, load_tokenizer, tokenize_batches
from tasks.parameters import TokenParameters, TrainingParameters
from tasks.settings import ROOT
from tasks.stage.contents import load_blocks
from tasks.stage.references import Corpus, ModelReference
from tasks.tokens import make_tokens, save_preprocessed
from tests.factories.models import TEXTS, build_neo, train_model
from tests.factories.rows import load_rows
from tests.factories.waiting import wait_until


@pytest.fixture(scope="module")
def neo_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_neo(tmp_path_factory.mktemp("neo"))


@pytest.fixture
def base(neo_folder: Path) -> ModelReference:
    return ModelReference.in_folder(neo_folder, name="neo", type="GPT-NEO", sha256="0" * 64)


@pytest.fixture
def corpus() -> Corpus:
    return make_corpus(TEXTS[:-3], TEXTS[-3:])


def make_corpus(train: Sequence[str], held_out: Sequence[str]) -> Corpus:
    def fill(folder: Path) -> dict[str, Any]:
        write_documents(folder / "train.jsonl", train)
        write_documents(folder / "eval.jsonl", held_out)
        documents = len(train) + len(held_out)
        facts = {"read": documents, "duplicates": 0, "rejected": {}, "empty": 0, "derivations": None}
        split = {"train_documents": len(train), "eval_documents": len(held_out)}
        return {"documents": documents, **split, **facts}

    return Corpus.make("key", fill)


def test_every_token_of_the_corpus_is_learned_and_each_document_ends(corpus: Corpus, base: ModelReference) -> None:
    made = make_tokens.fn(corpus, base, TokenParameters(block_size=16), TrainingParameters())
    tokenizer = load_tokenizer(base.load_from)
    for split, some in (("train", TEXTS[:-3]), ("eval", TEXTS[-3:])):
        found = load_rows(made, split)
        assert {len(row["input_ids"]) for row in found} == {16}
        learned = [label for row in found for label in row["labels"] if label != IGNORED_LABEL]
        assert learned == [i for text in some for i in [*tokenizer(text)["input_ids"], tokenizer.eos_token_id]]


def test_the_preview_shows_texts_tokens_and_ids(corpus: Corpus, base: ModelReference) -> None:
    made = make_tokens.fn(corpus, base, TokenParameters(), TrainingParameters())
    preview = json.loads((made.folder / "preview.json").read_text())
    tokenizer = load_tokenizer(base.load_from)
    assert [entry["text"] for entry in preview] == list(TEXTS[:20])
    assert [tokenizer.decode([i for _, i in entry["tokens"]]) for entry in preview] == list(TEXTS[:20])
    assert preview[0]["tokens"][0] == ["you", tokenizer.convert_tokens_to_ids("you")]


def test_a_block_larger_than_the_model_is_an_input_error(corpus: Corpus, base: ModelReference) -> None:
    with pytest.raises(InputError, match=r"--tokens\.block-size 129 is more than the 128 positions"):
        make_tokens.fn(corpus, base, TokenParameters(block_size=129), TrainingParameters())


def test_save_preprocessed_data_writes_the_file_of_happy_transformer_2(
    corpus: Corpus, base: ModelReference, tmp_path: Path
) -> None:
    path = tmp_path / "preprocessed-data.json"
    made = make_tokens.fn(corpus, base, TokenParameters(block_size=16), TrainingParameters())
    save_preprocessed.fn(made, TrainingParameters(save_preprocessed_data_path=str(path)))
    assert not path.exists()  # the path alone saves nothing
    save_preprocessed.fn(made, TrainingParameters(save_preprocessed_data=True, save_preprocessed_data_path=str(path)))
    written = json.loads(path.read_text())
    assert list(written) == ["train", "eval"]
    assert [list(row) for row in written["train"]] == [["attention_mask", "input_ids", "labels"]] * made.train_blocks
    assert written == {split: load_rows(made, split) for split in ("train", "eval")}


def test_load_preprocessed_data_trains_from_the_file_and_not_from_the_corpus(
    corpus: Corpus, base: ModelReference, tmp_path: Path
) -> None:
    path = tmp_path / "mine.json"
    ids = list(range(20, 30))
    row = {"attention_mask": [1] * 8 + [0] * 2, "input_ids": ids, "labels": ids[:8] + [-100] * 2}
    full = {"attention_mask": [1] * 10, "input_ids": ids[::-1], "labels": ids[::-1]}
    path.write_text(json.dumps({"train": [full, row], "eval": [full]}))
    training = TrainingParameters(load_preprocessed_data=True, load_preprocessed_data_path=str(path), max_steps=1)
    made = make_tokens.fn(corpus, base, TokenParameters(), training)
    trained_on = [[label for label in one["labels"] if label != IGNORED_LABEL] for one in load_rows(made, "train")]
    assert trained_on == [ids[::-1], ids[:8]]
    assert (made.train_tokens, made.eval_tokens, made.block_size) == (18, 10, 10)
    rows = [load_rows(made, split) for split in ("train", "eval")]
    generator, _ = train_model(Path(base.load_from), rows[0], rows[1], tmp_path / "model", max_steps=1)
    assert generator.trainer is not None
    assert isinstance(generator.trainer.train_dataset, Blocks)
    assert generator.trainer.train_dataset.ids.tolist() == [row["input_ids"] for row in rows[0]]


def test_what_was_saved_gives_the_same_rows_when_loaded(corpus: Corpus, base: ModelReference, tmp_path: Path) -> None:
    path = str(tmp_path / "preprocessed-data.json")
    made = make_tokens.fn(corpus, base, TokenParameters(block_size=16), TrainingParameters())
    save_preprocessed.fn(made, TrainingParameters(save_preprocessed_data=True, save_preprocessed_data_path=path))
    loading = TrainingParameters(load_preprocessed_data=True, load_preprocessed_data_path=path)
    again = make_tokens.fn(corpus, base, TokenParameters(), loading)
    assert again.key != made.key
    assert [load_rows(again, split) for split in ("train", "eval")] == [load_rows(made, s) for s in ("train", "eval")]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ({"train": [{"input_ids": [9999], "attention_mask": [1], "labels": [9999]}], "eval": []}, "vocabulary"),
        (
            {"train": [{"input_ids": [1, 2], "attention_mask": [1, 1], "labels": [1, 2]}], "eval": []},
            "no held-out rows",
        ),
    ],
)
def test_a_preprocessed_file_that_does_not_fit_the_model_is_an_input_error(
    corpus: Corpus, base: ModelReference, tmp_path: Path, rows: dict[str, Any], message: str
) -> None:
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(rows))
    training = TrainingParameters(load_preprocessed_data=True, load_preprocessed_data_path=str(path))
    with pytest.raises(InputError, match=message):
        make_tokens.fn(corpus, base, TokenParameters(), training)


def test_preprocessing_processes_reach_the_tokenizer(
    corpus: Corpus, base: ModelReference, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts: list[int] = []

    def recorded(some: Iterable[str], tokenizer: Any, *, processes: int = 1) -> Batches:
        counts.append(processes)
        return tokenize_batches(some, tokenizer, processes=processes)

    monkeypatch.setattr(tokenization, "tokenize_batches", recorded)
    make_tokens.fn(corpus, base, TokenParameters(), TrainingParameters(preprocessing_processes=3))
    assert [processes for processes in counts if processes > 1] == [3, 3]


def test_blocks_are_loaded_as_the_rows_are(corpus: Corpus, base: ModelReference) -> None:
    made = make_tokens.fn(corpus, base, TokenParameters(block_size=16), TrainingParameters())
    for split in ("train", "eval"):
        found, expected = load_blocks(made, split), load_rows(made, split)
        assert found.ids.tolist() == [row["input_ids"] for row in expected]
        assert found.lengths.tolist() == [sum(row["attention_mask"]) for row in expected]


def test_the_folder_holds_only_blocks_and_preview_and_long_documents_are_counted(
    corpus: Corpus, base: ModelReference
) -> None:
    made = make_tokens.fn(corpus, base, TokenParameters(block_size=8), TrainingParameters())
    assert {path.name for path in made.folder.iterdir()} == {"manifest.json", "train.json", "eval.json", "preview.json"}
    tokenizer = load_tokenizer(base.load_from)
    lengths = [len(tokenizer(text)["input_ids"]) + 1 for text in TEXTS]
    assert min(lengths) < 8 < max(lengths)
    assert made.longest_document == max(lengths)
    assert made.documents_over_block == sum(length > 8 for length in lengths)
    assert made.train_blocks == -(-sum(lengths[:-3]) // 8)


STAGE = """
import json, sys
from pathlib import Path

if __name__ == "__main__":
    from tasks.parameters import TokenParameters, TrainingParameters
    from tasks.stage.references import Corpus, ModelReference
    from tasks.tokens import make_tokens

    corpus, base = Corpus.model_validate_json(sys.argv[1]), ModelReference.model_validate_json(sys.argv[2])
    print("started", flush=True)
    make_tokens.fn(corpus, base, TokenParameters(), TrainingParameters(preprocessing_processes=2))
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are counted in /proc: Linux only")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_ctrl_c_or_a_kill_leaves_no_process_and_no_complete_folder(
    how: signal.Signals, base: ModelReference, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    made = make_corpus([f"{text} {number}" for number in range(20_000) for text in TEXTS], TEXTS[:3])
    program = tmp_path / "stage.py"
    program.write_text(STAGE)
    child = subprocess.Popen(
        [sys.executable, str(program), made.model_dump_json(), base.model_dump_json()],
        start_new_session=True, stderr=subprocess.PIPE, text=True, cwd=ROOT,
    )  # fmt: skip
    assert wait_until(lambda: len(workers_of(child.pid)) == 2 and written(data / "tokens") > 2**16, 120)
    if how == signal.SIGINT:
        os.killpg(child.pid, how)  # as a terminal does
    else:
        child.send_signal(how)
    _, errors = child.communicate(timeout=60)
    assert child.returncode != 0
    assert wait_until(lambda: not session_of(child.pid), 120)
    assert errors.count("Traceback") <= (how == signal.SIGINT)  # the workers print none
    left = list((data / "tokens").iterdir())
    assert [path for path in left if ".partial-" not in path.name] == []
    assert how != signal.SIGINT or not left


def session_of(leader: int) -> list[str]:
    """The command lines of the processes that are in the session of `leader` and run."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # ended meanwhile
            state, _, _, session = stat.read_text().rpartition(")")[2].split()[:4]
            if int(session) == leader and state != "Z":
                found.append((stat.parent / "cmdline").read_text())
    return found


def workers_of(leader: int) -> list[str]:
    return [line for line in session_of(leader) if "spawn_main" in line]


def written(folder: Path) -> int:
    """The size of the largest file in `folder` that any process has open; such files may have no name."""
    sizes = [0]
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        with contextlib.suppress(OSError):
            if str(link.readlink()).startswith(str(folder)):
                sizes.append(link.stat().st_size)
    return max(sizes)
