"""Tiny real models: a two-layer GPT-Neo, a two-layer GPT-2 with dropout, and a tokenizer trained on a few sentences."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GPT2Config, GPT2LMHeadModel

from tasks.dataset import Row
from tasks.modeling.attention import register_attention
from tasks.modeling.base_models import Shape, build
from tasks.modeling.finetuning import Outcome, Progress, finetune
from tasks.modeling.happy import TunableGeneration
from tasks.modeling.recipes import Recipe, choose_recipe
from tasks.modeling.tokenization import load_tokenizer, tokenize
from tasks.modeling.trainer import Checkpoints
from tasks.parameters import SamplingParameters, TrainingParameters
from tasks.training.checkpoints import Checkpoint
from tests.factories.rows import blocks_of, pack, rows

SHAPE = Shape(hidden_size=32, layer_pairs=1, heads=4, positions=128, vocabulary=320)
BLOCK = 32
Trained = tuple[TunableGeneration, Outcome]
Call = tuple[dict[str, Any], list[int]]
SENTENCE = "you can make a sandwich , with cheese ."
"""The one sentence that the `learned` model writes; cleaned up, it would lose two spaces."""

FITTING = Recipe(learning_rate=1e-2, batch_size=8, lr_scheduler_type="linear", warmup_ratio=0.0)


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
    who, verbs = ("you can", "we", "anyone can"), ("make", "build", "construct")
    things = ("a sandwich", "a cheese sandwich", "your basic sandwich , quickly")
    return [SENTENCE, *(f"{one} {verb} {thing} ." for one in who for verb in verbs for thing in things)]


@pytest.fixture(scope="session")
def neo_folder(texts: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A GPT-Neo with random weights; its embeddings have more rows than its tokenizer has tokens."""
    folder = tmp_path_factory.mktemp("neo")
    build(SHAPE, texts, folder, seed=0)
    return folder


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


def train_model(
    base: Path,
    some_rows: list[Row],
    held_out: list[Row],
    folder: Path,
    *,
    kind: str = "GPT-NEO",
    checkpoints: Checkpoints | None = None,
    resume_from: Path | None = None,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    sampling: SamplingParameters | None = None,
    **values: Any,
) -> Trained:
    """Load `base`, fine-tune it as a pretrained model with these training parameters and save it to `folder`.

    In full precision on any processor, since tests compare numbers.
    """
    training = TrainingParameters(**{"bf16": False, **values})
    generator = TunableGeneration(kind, str(base))
    recipe = choose_recipe(training, preset=None, blocks=len(some_rows))
    outcome = finetune(
        generator, blocks_of(some_rows), blocks_of(held_out), folder, training=training, recipe=recipe,
        checkpoints=checkpoints, resume_from=resume_from, on_progress=on_progress, sampling=sampling,
    )  # fmt: skip
    return generator, outcome


def make_rows(folder: Path, some_texts: Sequence[str]) -> list[Row]:
    """Tokenize and pack texts as the pipeline does, with the tokenizer in `folder`."""
    tokenizer = load_tokenizer(str(folder))
    blocks = pack(tokenize(some_texts, tokenizer), eos_token_id=tokenizer.eos_token_id, block_size=BLOCK)
    return rows(blocks, block_size=BLOCK, pad_token_id=tokenizer.pad_token_id)


def float64_loss(folder: Path, some_rows: Sequence[Row]) -> float:
    """Mean negative log-likelihood, computed independently: row by row, without padding, log-softmax in float64."""
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    losses: list[float] = []
    for row in some_rows:
        ids = row["input_ids"][: sum(row["attention_mask"])]
        with torch.no_grad():
            logits = model(torch.tensor([ids])).logits[0].double()
        chosen = torch.log_softmax(logits, dim=-1)
        losses += [-float(chosen[position, token]) for position, token in enumerate(ids[1:])]
    return sum(losses) / len(losses)


def weights(folder: Path) -> bytes:
    return (folder / "model.safetensors").read_bytes()


def without_speed(history: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in entry.items() if name != "tokens_per_second"} for entry in history]


class AllCheckpoints:
    """Keeps every checkpoint in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.kept: dict[int, Collection[int]] = {}

    def save(self, step: int, fill: Callable[[Path], Mapping[str, Any]], *, keep: Collection[int] = ()) -> None:
        (self.folder / str(step)).mkdir(parents=True)
        fill(self.folder / str(step))
        self.kept[step] = keep

    def find(self, step: int) -> Checkpoint | None:
        return Checkpoint(step, self.folder / str(step), {}) if step in self.kept else None

    def at(self, step: int) -> Path:
        return self.folder / str(step)


@contextmanager
def record_generate(generator: TunableGeneration) -> Iterator[list[Call]]:
    """The arguments of each call of `model.generate`, and the ids that it writes after the first prompt."""
    calls: list[Call] = []
    real = generator.model.generate

    def recorded(**kwargs: Any) -> Any:
        output = real(**kwargs)
        calls.append((kwargs, output[0, kwargs["input_ids"].shape[1] :].tolist()))
        return output

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(generator.model, "generate", recorded)
        yield calls
