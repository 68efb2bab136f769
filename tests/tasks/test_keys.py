"""Keys are a format: if one changes, every user's cached stages are made again."""

import os
from pathlib import Path
from typing import Any

import pytest
from prefect import Task

from tasks.base_model import base_key
from tasks.corpus import corpus_key
from tasks.corpus_report import report_key
from tasks.errors import InputError
from tasks.parameters import (
    CorpusParameters,
    ModelParameters,
    ReleaseParameters,
    SamplingParameters,
    TokenParameters,
    TrainingParameters,
)
from tasks.samples import samples_key
from tasks.stage.caching import ContentKey
from tasks.tokens import tokens_key
from tasks.weights import make_weights, weights_key
from tests.factories.references import TEMPLATE, blocks, corpus, model

TYPED = CorpusParameters(template=TEMPLATE)


def test_golden_keys(tmp_path: Path) -> None:
    (tmp_path / "t.spintax").write_text(TEMPLATE, encoding="utf-8")
    keys = [
        corpus_key(TYPED),
        corpus_key(CorpusParameters(source=(str(tmp_path / "t.spintax"),))),
        base_key(corpus().sha256, ModelParameters(), 42),
        tokens_key(corpus().sha256, model().sha256, TokenParameters(), TrainingParameters()),
        weights_key(blocks().sha256, model().sha256, TrainingParameters()),
        samples_key(model().sha256, corpus().sha256, SamplingParameters()),
        report_key(corpus(), blocks(), 6000),
    ]
    assert [key and key[:16] for key in keys] == [
        "4431398e6b497d41",
        "2ab72ad44d439d8f",
        "4142c67060adcd67",
        "2df0c12b47b2c33b",
        "e725f13535e58d94",
        "448b2d75ea29d986",
        "d5ed1bb0267a9ee2",
    ]
    assert all(len(key or "") == 64 for key in keys)


def test_a_key_depends_on_the_content_of_a_source_and_not_on_its_name_folder_or_time(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    one, other, third = tmp_path / "one.txt", tmp_path / "below" / "other.TXT", tmp_path / "third.txt"
    one.write_text("a\nb\n")
    other.write_text("a\nb\n")
    third.write_text("a\nc\n")
    os.utime(other, (0, 0))
    keys = [corpus_key(CorpusParameters(source=(str(path),))) for path in (one, other, third)]
    assert keys[0] == keys[1] != keys[2]


def test_the_same_bytes_under_another_ending_are_another_corpus(tmp_path: Path) -> None:
    for name in ("one.txt", "one.spintax"):
        (tmp_path / name).write_text("{a|b}")
    keys = {corpus_key(CorpusParameters(source=(str(tmp_path / name),))) for name in ("one.txt", "one.spintax")}
    assert len(keys) == 2


def test_a_missing_source_is_reported(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no such file"):
        corpus_key(CorpusParameters(source=(str(tmp_path / "none.txt"),)))


def test_each_corpus_parameter_that_changes_the_texts_changes_the_key() -> None:
    other = {
        "num_documents": 5, "mix": "equal", "collapse_whitespace": True, "ignore_case": True, "min_characters": 2,
        "max_characters": 9, "near_duplicates": 0.7, "split": "combination", "eval_fraction": 0.2,
        "max_eval_documents": 3, "order": "sorted", "seed": 1, "template": "{a|b}", "column": "other",
    }  # fmt: skip
    assert {"source", *other} == set(CorpusParameters.model_fields), "a new parameter: does it change the key?"
    changes: list[dict[str, object]] = [{}, *({name: value} for name, value in other.items())]
    assert len({corpus_key(TYPED.model_copy(update=change)) for change in changes}) == len(changes)


def test_sources_are_not_read_if_there_is_a_typed_template() -> None:
    assert corpus_key(TYPED) == corpus_key(TYPED.model_copy(update={"source": ("nowhere.txt",)}))


@pytest.mark.parametrize(
    "change",
    [
        {"preprocessing_processes": 4},
        {"save_steps": 7},
        {"save_total_limit": 1},
        {"share_checkpoints": True},
        {"save_preprocessed_data": True, "save_preprocessed_data_path": "x.json"},
        {"load_preprocessed_data_path": "not-loaded.json"},
    ],
)
def test_parameters_that_do_not_change_the_weights_do_not_change_the_key(change: dict[str, object]) -> None:
    plain, changed = TrainingParameters(), TrainingParameters.model_validate(change)
    assert weights_key(blocks().sha256, model().sha256, plain) == weights_key(blocks().sha256, model().sha256, changed)
    assert tokens_key(corpus().sha256, model().sha256, TokenParameters(), plain) == tokens_key(
        corpus().sha256, model().sha256, TokenParameters(), changed
    )


def test_each_other_training_parameter_changes_the_weights() -> None:
    other = {
        "learning_rate": 1e-4, "num_train_epochs": 1.0, "max_steps": 3, "batch_size": 2, "weight_decay": 0.1,
        "adam_beta1": 0.8, "adam_beta2": 0.9, "adam_epsilon": 1e-7, "max_grad_norm": 2.0, "fp16": True, "seed": 7,
        "bf16": True, "gradient_accumulation_steps": 2, "gradient_checkpointing": True, "torch_compile": True,
        "lr_scheduler_type": "constant", "warmup_ratio": 0.5, "eval_steps": 3, "load_best_model_at_end": True,
        "early_stopping_patience": 2, "num_processes": 2, "fsdp": True, "lora_rank": 4,
    }  # fmt: skip
    adapters = {"lora_alpha": 1.0, "lora_dropout": 0.5, "lora_target_modules": ("c_fc",)}
    changes: list[dict[str, object]] = [{}, *({name: value} for name, value in other.items())]
    changes += [{"lora_rank": 4, name: value} for name, value in adapters.items()]
    keys = {
        weights_key(blocks().sha256, model().sha256, TrainingParameters.model_validate(change)) for change in changes
    }
    assert len(keys) == len(changes)
    untouched = {name for name in TrainingParameters.model_fields if "preprocess" in name}
    untouched |= {"save_steps", "save_total_limit", "share_checkpoints", *adapters}
    assert untouched | set(other) == set(TrainingParameters.model_fields), "a new parameter: does it change the key?"


def test_each_sampling_parameter_changes_the_samples() -> None:
    other = {
        "prompts": ("x",), "held_out_prompts": 0, "num_samples": 1, "seed": 1, "min_length": 2, "max_length": 9,
        "do_sample": False,
        "early_stopping": True, "num_beams": 2, "temperature": 1.0, "top_k": 1, "top_p": 0.5,
        "no_repeat_ngram_size": 2, "bad_words": ("no",),
    }  # fmt: skip
    assert set(other) == set(SamplingParameters.model_fields)
    groups = [SamplingParameters(), *(SamplingParameters.model_validate({name: other[name]}) for name in other)]
    assert len({samples_key(model().sha256, corpus().sha256, group) for group in groups}) == len(other) + 1


def cache_key(made: Task[..., Any], **inputs: object) -> str:
    """The content key that Prefect's cache key of a stage is made of."""
    policy = made.cache_policy
    assert isinstance(policy, ContentKey) and policy.key_of is not None  # noqa: PT018
    return policy.key_of(**inputs)


def test_a_key_depends_on_the_content_of_the_inputs_and_not_on_their_path() -> None:
    others = dict(training=TrainingParameters(), release=ReleaseParameters(), sampling=SamplingParameters())
    made = cache_key(make_weights, tokens=blocks(), base=model(), **others)
    assert made == weights_key(blocks().sha256, model().sha256, TrainingParameters())
    moved = model(path="elsewhere", name="another name")
    assert made == cache_key(make_weights, tokens=blocks(key="0" * 64), base=moved, **others)
    assert made != cache_key(make_weights, tokens=blocks(sha256="0" * 64), base=model(), **others)


def test_a_key_depends_on_the_content_of_a_preprocessed_file(tmp_path: Path) -> None:
    def key(text: str) -> str:
        (tmp_path / "p.json").write_text(text)
        training = TrainingParameters(load_preprocessed_data=True, load_preprocessed_data_path=str(tmp_path / "p.json"))
        return tokens_key(corpus().sha256, model().sha256, TokenParameters(), training)

    assert key("{}") == key("{}") != key("{ }")
