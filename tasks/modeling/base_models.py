"""Base models: build one with random weights, or find out whether a hub id or a folder is one.

What comes in: a preset and the texts to train a tokenizer on, or a name. What it leaves: a model folder as Hugging Face
lays it out (config, safetensors, tokenizer), or one clear sentence on why a name is no model.
"""

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
    """A GPT-Neo shape. The two large ones are those that EleutherAI published."""

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


def build_from_scratch(preset: str, texts: Iterable[str], folder: Path, *, seed: int) -> tuple[int, int]:
    """Write a preset's GPT-Neo with random weights and a byte-level BPE tokenizer trained on `texts` to `folder`.

    Returns the number of weights and the size of the tokenizer's vocabulary. Same texts and seed give the same files.
    """
    return build(SHAPES[preset], texts, folder, seed=seed)


def build(shape: Shape, texts: Iterable[str], folder: Path, *, seed: int) -> tuple[int, int]:
    """What `build_from_scratch` does, for any shape."""
    import torch
    from transformers import GPTNeoForCausalLM

    tokenizer = train_tokenizer(texts, vocabulary=shape.vocabulary, positions=shape.positions)
    config = config_of(shape, end_of_text=tokenizer.eos_token_id)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = GPTNeoForCausalLM(config)
    save_model(model, tokenizer, folder)
    return model.num_parameters(), len(tokenizer)


def config_of(shape: Shape, *, end_of_text: int) -> Any:
    """The GPT-Neo config of a shape: global and local attention by turns, one token that begins, ends and pads."""
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
    """A byte-level BPE tokenizer: it can write any text, and has one special token, which ends a document."""
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
    ends = {"bos_token": END_OF_TEXT, "eos_token": END_OF_TEXT, "unk_token": END_OF_TEXT, "pad_token": END_OF_TEXT}
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, model_max_length=positions, clean_up_tokenization_spaces=False, **ends
    )


def check_model_folder(folder: Path) -> None:
    """Raise InputError unless `folder` holds a model that `from_pretrained` can load, with its tokenizer."""
    advice = "name a folder that save_pretrained wrote, or a preset: " + ", ".join(SCRATCH_PRESETS)
    if not (folder / "config.json").is_file():
        raise InputError(f"--model.name {folder}: the folder is no model (it has no config.json); {advice}.")
    if not any(folder.glob("*.safetensors")) and not any(folder.glob("pytorch_model*.bin")):
        raise InputError(f"--model.name {folder}: the folder has a config.json but no weights; {advice}.")
    if not any((folder / name).is_file() for name in ("tokenizer.json", "tokenizer_config.json", "vocab.json")):
        raise InputError(f"--model.name {folder}: the folder has no tokenizer beside its weights; {advice}.")


def hub_commit(name: str) -> str:
    """The commit of a hub id, from the hub or, where that is not there, from Hugging Face's cache.

    Raises InputError if the hub has no such model or refuses it, UnavailableError if it does not answer. HF_HOME,
    HF_TOKEN, HF_ENDPOINT and HF_HUB_OFFLINE are honoured.
    """
    from transformers.utils import hub

    with loading(name):
        config = hub.cached_file(name, "config.json", local_files_only=not _hub_answers(name))
    commit = hub.extract_commit_hash(config, None)
    if commit is None:
        raise InputError(
            f"--model.name {name}: the hub has no config.json for it, so it is no model; choose another, or, without "
            f"any hub, use a preset ({', '.join(SCRATCH_PRESETS)}) or a local folder."
        )
    return str(commit)


def _hub_answers(name: str) -> bool:
    """Whether the hub is there, asked once: a download would ask six times, for half a minute."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import OfflineModeIsEnabled
    from requests import ConnectionError as NotReached
    from requests import Timeout

    try:
        HfApi().model_info(name, timeout=10)
    except (NotReached, Timeout, OfflineModeIsEnabled):
        return False
    return True
