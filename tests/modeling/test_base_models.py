"""Base models: presets have the published shapes and are reproducible; what is not a model is an InputError."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import (
    AutoTokenizer,
    BertConfig,
    BertForMaskedLM,
    GPTNeoConfig,
    GPTNeoForCausalLM,
    T5Config,
    T5ForConditionalGeneration,
)

from tasks.errors import InputError
from tasks.modeling.base_models import SHAPES, Shape, build_from_scratch, check_model_folder, make_config
from tasks.modeling.happy import TunableGeneration
from tasks.modeling.loading import positions
from tasks.modeling.tokenization import load_positions, load_tokenizer
from tasks.parameters import SCRATCH_PRESETS
from tests.factories.models import SHAPE

PUBLISHED = {
    "scratch-125m": {"hidden_size": 768, "num_layers": 12, "num_heads": 12, "vocab_size": 50257},
    "scratch-1.3b": {"hidden_size": 2048, "num_layers": 24, "num_heads": 16, "vocab_size": 50257},
}
WEIGHTS = {"scratch-125m": 125_198_592, "scratch-1.3b": 1_315_575_808}


@pytest.mark.parametrize("preset", PUBLISHED)
def test_the_large_presets_have_the_published_shapes(preset: str) -> None:
    config = make_config(SHAPES[preset], end_of_text=0).to_dict()
    common = {"max_position_embeddings": 2048, "window_size": 256, "intermediate_size": None}
    alternating = ["global", "local"] * (PUBLISHED[preset]["num_layers"] // 2)
    wanted = {**PUBLISHED[preset], **common, "attention_layers": alternating}
    assert {name: config[name] for name in wanted} == wanted


@pytest.mark.parametrize("preset", WEIGHTS)
def test_the_large_presets_have_the_published_number_of_weights(preset: str) -> None:
    with torch.device("meta"):
        model = GPTNeoForCausalLM(make_config(SHAPES[preset], end_of_text=0))
    assert model.num_parameters() == WEIGHTS[preset]


def test_every_preset_has_a_shape() -> None:
    assert tuple(SHAPES) == SCRATCH_PRESETS


def test_a_preset_is_built_with_its_shape(texts: list[str], tmp_path: Path) -> None:
    weights, vocabulary = build_from_scratch(SHAPES["scratch-tiny"], texts, tmp_path, seed=0)
    model = GPTNeoForCausalLM.from_pretrained(tmp_path)
    assert model.num_parameters() == weights
    assert model.config.to_diff_dict() == {
        **make_config(SHAPES["scratch-tiny"], end_of_text=0).to_diff_dict(),
        "architectures": ["GPTNeoForCausalLM"],
        "dtype": "float32",
    }
    assert len(AutoTokenizer.from_pretrained(tmp_path)) == vocabulary <= 512


def test_same_texts_and_seed_give_the_same_bytes_and_another_seed_others(texts: list[str], tmp_path: Path) -> None:
    state = torch.random.get_rng_state()
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        torch.manual_seed(99 + seed)
        build_from_scratch(SHAPE, iter(texts), tmp_path / name, seed=seed)
        torch.random.set_rng_state(state)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    changed = {name for name, data in contents(tmp_path / "c").items() if data != contents(tmp_path / "a")[name]}
    assert changed == {"model.safetensors"}


def test_building_does_not_affect_the_random_state_of_the_process(texts: list[str], tmp_path: Path) -> None:
    state = torch.random.get_rng_state()
    build_from_scratch(SHAPE, texts, tmp_path, seed=1)
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize("text", ["you can", " a , b .", "Ünïcödé 東京 \U0001f9c0", "\ttwo  spaces\n", "\u2028\x0c"])
def test_the_tokenizer_can_write_any_text(neo_folder: Path, text: str) -> None:
    tokenizer = load_tokenizer(str(neo_folder))
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text
    assert tokenizer.eos_token_id not in tokenizer(text)["input_ids"]


def test_embeddings_grow_to_the_tokenizer_and_never_shrink(neo_folder: Path, tmp_path: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(neo_folder)
    assert len(tokenizer) < SHAPE.vocabulary
    assert embedding_rows(TunableGeneration("GPT-NEO", str(neo_folder))) == SHAPE.vocabulary
    small = Shape(hidden_size=32, layer_pairs=1, heads=4, positions=128, vocabulary=len(tokenizer) - 5)
    GPTNeoForCausalLM(make_config(small, end_of_text=0)).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    assert embedding_rows(TunableGeneration("GPT-NEO", str(tmp_path))) == len(tokenizer)


def test_a_tokenizer_without_a_length_limit_works(neo_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(neo_folder, tmp_path, dirs_exist_ok=True)
    edit_json(tmp_path / "tokenizer_config.json", lambda config: config.pop("model_max_length"))
    generator = TunableGeneration("GPT-NEO", str(tmp_path))
    assert generator.tokenizer.model_max_length > 10**9
    assert load_positions(str(tmp_path)) == positions(generator.model.config) == SHAPE.positions


def test_a_model_is_loaded_in_full_precision_and_eval_mode(gpt2: TunableGeneration) -> None:
    assert not gpt2.model.training
    assert {value.dtype for value in gpt2.model.parameters()} == {torch.float32}


@pytest.mark.parametrize(
    ("removed", "message"),
    [("config.json", "no config.json"), ("*.safetensors", "no weights"), ("token*", "no tokenizer")],
)
def test_a_folder_that_lacks_a_part_is_refused(neo_folder: Path, tmp_path: Path, removed: str, message: str) -> None:
    shutil.copytree(neo_folder, tmp_path, dirs_exist_ok=True)
    check_model_folder(tmp_path)
    for path in tmp_path.glob(removed):
        path.unlink()
    with pytest.raises(InputError, match=f"--model.name .*{message}"):
        check_model_folder(tmp_path)


def not_json(folder: Path) -> None:
    (folder / "config.json").write_text("layers: 2")


def a_list(folder: Path) -> None:
    (folder / "config.json").write_text("[]")


def unknown_kind(folder: Path) -> None:
    edit_json(folder / "config.json", lambda config: config.update(model_type="gpt-99"))


def no_kind(folder: Path) -> None:
    edit_json(folder / "config.json", lambda config: config.pop("model_type"))


def other_size(folder: Path) -> None:
    edit_json(folder / "config.json", lambda config: config.update(hidden_size=64))


def more_layers(folder: Path) -> None:
    layers = {
        "num_layers": 4,
        "attention_types": [[["global", "local"], 2]],
        "attention_layers": ["global", "local"] * 2,
    }
    edit_json(folder / "config.json", lambda config: config.update(layers))


def cut_weights(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])


def damaged_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").write_text('{"version": "1.0"}')


def no_end_of_text(folder: Path) -> None:
    edit_json(folder / "tokenizer_config.json", lambda config: config.pop("eos_token"))
    edit_json(folder / "special_tokens_map.json", lambda config: config.pop("eos_token"))


def bert(folder: Path) -> None:
    BertForMaskedLM(BertConfig(320, 32, 1, 2, 32)).save_pretrained(folder)


def t5(folder: Path) -> None:
    T5ForConditionalGeneration(T5Config(320, 32, 8, 32, 1)).save_pretrained(folder)


@pytest.mark.parametrize(
    "damage",
    [
        *(not_json, a_list, unknown_kind, no_kind, other_size, more_layers, cut_weights),
        *(damaged_tokenizer, no_end_of_text, bert, t5),
    ],
    ids=lambda damage: damage.__name__,
)
def test_a_folder_with_an_unusable_model_is_an_input_error(
    neo_folder: Path, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    shutil.copytree(neo_folder, tmp_path, dirs_exist_ok=True)
    damage(tmp_path)
    with pytest.raises(InputError) as raised:
        TunableGeneration("GPT-NEO", str(tmp_path))
    sentence = str(raised.value)
    assert sentence.startswith(f"--model.name {tmp_path}: ")
    assert "\n" not in sentence
    assert sentence.endswith(".")


@pytest.mark.parametrize("damage", [damaged_tokenizer, no_end_of_text], ids=lambda damage: damage.__name__)
def test_an_unusable_tokenizer_is_an_input_error(
    neo_folder: Path, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    shutil.copytree(neo_folder, tmp_path, dirs_exist_ok=True)
    damage(tmp_path)
    with pytest.raises(InputError, match=r"--model\.name"):
        load_tokenizer(str(tmp_path))


def test_an_unreadable_config_is_an_input_error(neo_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(neo_folder, tmp_path, dirs_exist_ok=True)
    not_json(tmp_path)
    with pytest.raises(InputError, match=r"--model\.name"):
        load_positions(str(tmp_path))


def test_positions_are_read_by_the_name_of_each_family() -> None:
    assert positions(GPTNeoConfig(max_position_embeddings=77)) == 77
    assert positions(BertConfig(max_position_embeddings=55)) == 55


def embedding_rows(generator: TunableGeneration) -> int:
    rows: int = generator.model.get_input_embeddings().weight.shape[0]
    return rows


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def edit_json(path: Path, edit: Callable[[dict[str, object]], object]) -> None:
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))
