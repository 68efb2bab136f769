"""From a corpus to blocks and back: nothing is lost, and the seed's four rows on preprocessed data do what they say."""

import json
import multiprocessing
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tasks.dataset import IGNORED_LABEL, write_documents
from tasks.errors import InputError
from tasks.modeling import tokenization
from tasks.modeling.tokenization import load_tokenizer, tokenize
from tasks.parameters import TokenParameters, TrainingParameters
from tasks.references import Corpus, ModelReference
from tasks.settings import settings
from tasks.tokens import load_rows, make_tokens, save_preprocessed
from tests.modeling.conftest import train_model


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty data folder."""
    folder = tmp_path / "data"
    monkeypatch.setenv("SPINNERET_DATA", str(folder))
    settings.cache_clear()
    yield folder
    settings.cache_clear()


@pytest.fixture
def base(data: Path, neo_folder: Path) -> ModelReference:
    return ModelReference.in_folder(neo_folder, name="neo", type="GPT-NEO", sha256="0" * 64)


@pytest.fixture
def corpus(data: Path, texts: list[str]) -> Corpus:
    return make_corpus(texts[:-3], texts[-3:])


def make_corpus(train: list[str], held_out: list[str]) -> Corpus:
    def fill(folder: Path) -> dict[str, Any]:
        write_documents(folder / "train.jsonl", train)
        write_documents(folder / "eval.jsonl", held_out)
        counts = {"documents": len(train) + len(held_out), "train_documents": len(train)}
        return {
            **counts,
            "eval_documents": len(held_out),
            "duplicates": 0,
            "read": len(train) + len(held_out),
            "rejected": {},
            "empty": 0,
            "derivations": None,
        }

    return Corpus.make("key", fill)


def test_every_token_of_the_corpus_is_learned_and_each_document_ends(
    corpus: Corpus, base: ModelReference, texts: list[str]
) -> None:
    made = make_tokens.fn(corpus, base, TokenParameters(block_size=16), TrainingParameters())
    tokenizer = load_tokenizer(base.load_from)
    for split, some in (("train", texts[:-3]), ("eval", texts[-3:])):
        found = load_rows(made, split)
        assert {len(row["input_ids"]) for row in found} == {16}
        learned = [label for row in found for label in row["labels"] if label != IGNORED_LABEL]
        assert learned == [i for text in some for i in [*tokenizer(text)["input_ids"], tokenizer.eos_token_id]]


def test_the_preview_shows_texts_tokens_and_ids(corpus: Corpus, base: ModelReference, texts: list[str]) -> None:
    made = make_tokens.fn(corpus, base, TokenParameters(), TrainingParameters())
    preview = json.loads((made.folder / "preview.json").read_text())
    tokenizer = load_tokenizer(base.load_from)
    assert [entry["text"] for entry in preview] == texts[:20]
    assert [tokenizer.decode([i for _, i in entry["tokens"]]) for entry in preview] == texts[:20]
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
    assert not path.exists()  # the path alone asks for nothing
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
    assert list(generator.trainer.train_dataset) == rows[0]  # type: ignore[arg-type]


def test_what_was_saved_gives_the_same_rows_when_loaded(corpus: Corpus, base: ModelReference, tmp_path: Path) -> None:
    path = str(tmp_path / "preprocessed-data.json")
    made = make_tokens.fn(corpus, base, TokenParameters(block_size=16), TrainingParameters())
    save_preprocessed.fn(made, TrainingParameters(save_preprocessed_data=True, save_preprocessed_data_path=path))
    loading = TrainingParameters(load_preprocessed_data=True, load_preprocessed_data_path=path)
    again = make_tokens.fn(corpus, base, TokenParameters(), loading)
    assert again.key != made.key
    assert [load_rows(again, split) for split in ("train", "eval")] == [load_rows(made, s) for s in ("train", "eval")]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ({"train": [{"input_ids": [9999], "attention_mask": [1], "labels": [9999]}], "eval": []}, "vocabulary"),
        (
            {"train": [{"input_ids": [1, 2], "attention_mask": [1, 1], "labels": [1, 2]}], "eval": []},
            "no held-out rows",
        ),
    ],
)
def test_a_preprocessed_file_that_does_not_fit_the_model_is_an_input_error(
    corpus: Corpus, base: ModelReference, tmp_path: Path, rows: dict[str, Any], said: str
) -> None:
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(rows))
    training = TrainingParameters(load_preprocessed_data=True, load_preprocessed_data_path=str(path))
    with pytest.raises(InputError, match=said):
        make_tokens.fn(corpus, base, TokenParameters(), training)


def test_preprocessing_processes_reach_the_tokenizing(
    corpus: Corpus, base: ModelReference, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[int] = []

    def tokenize_and_note(some: Iterable[str], tokenizer: Any, *, processes: int = 1) -> Iterator[list[int]]:
        told.append(processes)
        return tokenize(some, tokenizer, processes=processes)

    monkeypatch.setattr(tokenization, "tokenize", tokenize_and_note)
    make_tokens.fn(corpus, base, TokenParameters(), TrainingParameters(preprocessing_processes=3))
    assert told == [3, 3]


@pytest.mark.slow
def test_two_processes_tokenize_at_once_and_give_the_same_ids_in_order(neo_folder: Path, texts: list[str]) -> None:
    many = [f"{text} {number}" for number in range(80) for text in texts]
    assert len(many) > 2 * tokenization.BATCH
    tokenizer = load_tokenizer(str(neo_folder))
    found, children = {}, {}
    for processes in (1, 2):
        ids = tokenize(many, tokenizer, processes=processes)
        first = next(ids)
        children[processes] = len(multiprocessing.active_children())
        found[processes] = [first, *ids]
    assert children == {1: 0, 2: 2}
    assert found[1] == found[2] == [tokenizer(text)["input_ids"] for text in many]
