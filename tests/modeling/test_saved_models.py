"""A saved model loads in every usual way, and is the same model."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from happytransformer import GENSettings, HappyGeneration
from transformers import AutoModelForCausalLM, AutoTokenizer

from tasks.dataset import Row
from tasks.modeling.happy import TunableGeneration
from tests.factories.models import SENTENCE, train_model


@pytest.fixture(params=["GPT-NEO", "GPT2"])
def saved(
    request: pytest.FixtureRequest, train_rows: list[Row], eval_rows: list[Row], tmp_path: Path
) -> tuple[str, Path, TunableGeneration]:
    """The kind, the folder, and the generator that was trained and saved there."""
    base = request.getfixturevalue("neo_folder" if request.param == "GPT-NEO" else "gpt2_folder")
    folder = tmp_path / "model"
    generator, _ = train_model(base, train_rows, eval_rows, folder, kind=request.param, max_steps=2, learning_rate=1e-2)
    return request.param, folder, generator


@pytest.fixture
def logging_restored() -> Iterator[None]:
    """Happy Transformer's own constructor configures the root logger."""
    root = logging.getLogger()
    before = list(root.handlers), root.level
    yield
    root.handlers, root.level = before


@pytest.mark.usefixtures("logging_restored")
def test_it_loads_in_every_way_and_gives_the_same_logits(
    saved: tuple[str, Path, TunableGeneration],
) -> None:
    kind, folder, generator = saved
    named = HappyGeneration(model_type=kind, model_name=str(folder))
    with_load_path = HappyGeneration(model_type=kind, model_name="EleutherAI/gpt-neo-1.3B", load_path=f"{folder}/")
    plain = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    wanted = logits(generator.model, generator.tokenizer)
    ways = [(named.model, named.tokenizer), (with_load_path.model, with_load_path.tokenizer), plain]
    for model, tokenizer in ways:
        found = logits(model.eval(), tokenizer)
        # Ours sums in another order, and Happy Transformer shrinks the embeddings to the tokenizer.
        assert torch.allclose(found, wanted[:, :, : found.shape[-1]], atol=1e-5)
    settings = GENSettings(max_length=10, min_length=1)
    texts = [some.generate_text("you can", settings).text.replace(" ", "") for some in (named, generator)]
    assert texts[0] == texts[1]  # without spaces, since Happy Transformer cleans them up


def test_the_folder_is_laid_out_as_hugging_face_does(saved: tuple[str, Path, TunableGeneration]) -> None:
    kind, folder, _ = saved
    names = {path.name for path in folder.iterdir()}
    assert {"config.json", "generation_config.json", "model.safetensors", "tokenizer.json"} <= names
    assert "tokenizer_config.json" in names
    config = json.loads((folder / "config.json").read_text())
    assert config["model_type"] == {"GPT-NEO": "gpt_neo", "GPT2": "gpt2"}[kind]


def logits(model: Any, tokenizer: Any) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model(torch.tensor([tokenizer(SENTENCE)["input_ids"]])).logits
    return found
