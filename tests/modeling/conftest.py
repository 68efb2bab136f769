"""Tiny real models: a two-layer GPT-Neo, a two-layer GPT-2 with dropout, and a tokenizer trained on a few sentences."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer, GPT2Config, GPT2LMHeadModel

from tasks.dataset import Row
from tasks.modeling.attention import register_attention
from tasks.modeling.finetuning import finetune
from tasks.modeling.happy import TunableGeneration
from tasks.parameters import TrainingParameters
from tests.factories.models import FITTING, SENTENCE, TEXTS, Trained, build_neo, make_rows, train_model
from tests.factories.rows import blocks_of


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Models this small are slower with more threads, and much slower if other processes need the cores."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session", autouse=True)
def fused_attention() -> None:
    """As in every process that has loaded a model."""
    register_attention()


@pytest.fixture(scope="session")
def texts() -> list[str]:
    return list(TEXTS)


@pytest.fixture(scope="session")
def neo_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_neo(tmp_path_factory.mktemp("neo"))


@pytest.fixture(scope="session")
def gpt2_folder(neo_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A GPT-2 with random weights and dropout."""
    folder = tmp_path_factory.mktemp("gpt2")
    tokenizer = AutoTokenizer.from_pretrained(neo_folder)
    end = tokenizer.eos_token_id
    config = GPT2Config(len(tokenizer), 128, 32, 2, 4, bos_token_id=end, eos_token_id=end)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        GPT2LMHeadModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def all_rows(neo_folder: Path, texts: list[str]) -> list[Row]:
    """The rows of the sentences: the last one has pads."""
    return make_rows(neo_folder, texts)


@pytest.fixture(scope="session")
def train_rows(all_rows: list[Row]) -> list[Row]:
    return all_rows[:-2]


@pytest.fixture(scope="session")
def eval_rows(all_rows: list[Row]) -> list[Row]:
    return all_rows[-2:]


@pytest.fixture
def neo(neo_folder: Path) -> TunableGeneration:
    return TunableGeneration("GPT-NEO", str(neo_folder))


@pytest.fixture
def gpt2(gpt2_folder: Path) -> TunableGeneration:
    return TunableGeneration("GPT2", str(gpt2_folder))


@pytest.fixture
def train(neo_folder: Path, train_rows: list[Row], eval_rows: list[Row], tmp_path: Path) -> Callable[..., Trained]:
    """Fine-tune a fresh GPT-Neo with the given training parameters; it is saved in `tmp_path / "model"`."""
    return partial(train_model, neo_folder, train_rows, eval_rows, tmp_path / "model")


@pytest.fixture(scope="session")
def learned_folder(neo_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that writes one sentence, with a tokenizer that cleans up spaces, as older tokenizers do."""
    folder = tmp_path_factory.mktemp("learned") / "model"
    generator = TunableGeneration("GPT-NEO", str(neo_folder))
    rows_ = make_rows(neo_folder, [SENTENCE] * 80)
    training = TrainingParameters(max_steps=60)
    finetune(generator, blocks_of(rows_[:-1]), blocks_of(rows_[-1:]), folder, training=training, recipe=FITTING)
    tokenizer = AutoTokenizer.from_pretrained(folder, clean_up_tokenization_spaces=True)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def learned(learned_folder: Path) -> TunableGeneration:
    return TunableGeneration("GPT-NEO", str(learned_folder))
