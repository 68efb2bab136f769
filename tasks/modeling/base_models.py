"""Base models: build a preset with random weights, or check that a hub id or a folder is a model."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.errors import InputError
from tasks.modeling.loading import loading
from tasks.modeling.saving import save_model
from tasks.parameters import SCRATCH_PRESETS

END_OF_TEXT = "<|endoftext|>"


@dataclass(frozen=True)
class Shape:
    """The shape of a GPT-Neo. The two large ones are those that EleutherAI published."""

    hidden_size: int
    layer_pairs: int
    heads: int
    positions: int
    vocabulary: int


SHAPES = {
    "scratch-tiny": Shape(hidden_size=128, layer_pairs=2, heads=4, positions=512, vocabulary=512),
    "scratch-125m": Shape(hidden_size=768, layer_pairs=6, heads=12, positions=2048, vocabulary=50257),
    "scratch-1.3b": Shape(hidden_size=2048, layer_pairs=12, heads=16, positions=2048, vocabulary=50257),
}


def build_from_scratch(shape: Shape, texts: Iterable[str], folder: Path, *, seed: int) -> tuple[int, int]:
    """Write a GPT-Neo with random weights and a byte-level BPE tokenizer trained on `texts` to `folder`.

    Returns the number of weights and the size of the tokenizer's vocabulary. Same texts and seed give the same files.
    """
    import torch
    from transformers import GPTNeoForCausalLM

    tokenizer = train_tokenizer(texts, vocabulary=shape.vocabulary, positions=shape.positions)
    config = make_config(shape, end_of_text=tokenizer.eos_token_id)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = GPTNeoForCausalLM(config)
    save_model(model, tokenizer, folder)
    return model.num_parameters(), len(tokenizer)


def make_config(shape: Shape, *, end_of_text: int) -> Any:
    """A GPT-Neo config: alternating global and local attention, one token for begin, end and padding."""
    from transformers import GPTNeoConfig

    return GPTNeoConfig(
        vocab_size=shape.vocabulary,
        hidden_size=shape.hidden_size,
        num_layers=2 * shape.layer_pairs,
        attention_types=[[["global", "local"], shape.layer_pairs]],
        num_heads=shape.heads,
        max_position_embeddings=shape.positions,
        bos_token_id=end_of_text,
        eos_token_id=end_of_text,
        pad_token_id=end_of_text,
    )


def train_tokenizer(texts: Iterable[str], *, vocabulary: int, positions: int) -> Any:
    """Train a byte-level BPE tokenizer: it can encode any text, and has one special token, which ends a document."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=positions,
        clean_up_tokenization_spaces=False,
        bos_token=END_OF_TEXT,
        eos_token=END_OF_TEXT,
        unk_token=END_OF_TEXT,
        pad_token=END_OF_TEXT,
    )


def check_model_folder(folder: Path) -> None:
    """Raise InputError unless `folder` holds a model that `from_pretrained` can load, with its tokenizer."""
    advice = "name a folder that save_pretrained wrote, or a preset: " + ", ".join(SCRATCH_PRESETS)
    if not (folder / "config.json").is_file():
        raise InputError(f"--model.name {folder}: the folder is not a model (it has no config.json); {advice}.")
    if not any(folder.glob("*.safetensors")) and not any(folder.glob("pytorch_model*.bin")):
        raise InputError(f"--model.name {folder}: the folder has a config.json but no weights; {advice}.")
    if not any((folder / name).is_file() for name in ("tokenizer.json", "tokenizer_config.json", "vocab.json")):
        raise InputError(f"--model.name {folder}: the folder has weights but no tokenizer; {advice}.")


def hub_commit(name: str) -> str:
    """The commit of a hub id, from the hub or, if that is not available, from Hugging Face's cache.

    HF_HOME, HF_TOKEN, HF_ENDPOINT and HF_HUB_OFFLINE have their usual effect.

    Raises:
        InputError: the hub has no such model, or denies access.
        UnavailableError: the hub does not answer.
    """
    from transformers.utils import hub

    with loading(name):
        config = hub.cached_file(name, "config.json", local_files_only=not _hub_answers(name))
    commit = hub.extract_commit_hash(config, None)
    if commit is None:
        raise InputError(
            f"--model.name {name}: the hub has no config.json for it, so it is not a model; choose another, or, "
            f"without a hub, use a preset ({', '.join(SCRATCH_PRESETS)}) or a local folder."
        )
    return str(commit)


def _hub_answers(name: str) -> bool:
    """Whether the hub is available, by a single request: a download would retry six times, for half a minute."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import OfflineModeIsEnabled
    from requests import ConnectionError as NotReached
    from requests import Timeout

    try:
        HfApi().model_info(name, timeout=10)
    except (NotReached, Timeout, OfflineModeIsEnabled):
        return False
    return True
