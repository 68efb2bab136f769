"""Tiny real models, the sentences that they learn, and helpers that train them and record what they do."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from tasks.dataset import Row
from tasks.modeling.base_models import Shape, build_from_scratch
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

_WHO, _VERBS = ("you can", "we", "anyone can"), ("make", "build", "construct")
_THINGS = ("a sandwich", "a cheese sandwich", "your basic sandwich , quickly")
TEXTS = (SENTENCE, *(f"{who} {verb} {thing} ." for who in _WHO for verb in _VERBS for thing in _THINGS))


def build_neo(folder: Path) -> Path:
    """A GPT-Neo with random weights; its embeddings have more rows than its tokenizer has tokens."""
    build_from_scratch(SHAPE, TEXTS, folder, seed=0)
    return folder


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
