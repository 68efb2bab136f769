import subprocess
import sys
from typing import Any

import pytest
from pydantic import ValidationError

from tasks import parameters
from tasks.modeling.recipes import choose_recipe
from tasks.parameters import (
    CorpusParameters,
    Group,
    ModelParameters,
    ReleaseParameters,
    SampledModelParameters,
    SamplingParameters,
    TokenParameters,
    TrainingParameters,
    flag,
)

GROUPS: list[type[Group]] = [
    CorpusParameters, TokenParameters, ModelParameters, SampledModelParameters, TrainingParameters,
    SamplingParameters, ReleaseParameters,
]  # fmt: skip
FIELDS = [(group, name) for group in GROUPS for name in group.model_fields]

SEED_TABLE = {
    "learning_rate": 5e-5, "num_train_epochs": 3, "batch_size": 1, "weight_decay": 0, "adam_beta1": 0.9,
    "adam_beta2": 0.999, "adam_epsilon": 1e-8, "max_grad_norm": 1.0, "save_preprocessed_data": False,
    "save_preprocessed_data_path": "", "load_preprocessed_data": False, "load_preprocessed_data_path": "",
    "preprocessing_processes": 1, "fp16": False,
}  # fmt: skip
"""Happy Transformer's learning parameters with their defaults."""

GENERATION_SETTINGS = {
    "min_length", "max_length", "do_sample", "early_stopping", "num_beams", "temperature", "top_k", "top_p",
    "no_repeat_ngram_size", "bad_words",
}  # fmt: skip
"""The fields of Happy Transformer's GENSettings."""

OUT_OF_RANGE: list[tuple[type[Group], str, Any]] = [
    (CorpusParameters, "num_documents", 1),
    (CorpusParameters, "eval_fraction", 0.0),
    (CorpusParameters, "eval_fraction", 1.0),
    (CorpusParameters, "seed", -1),
    (CorpusParameters, "seed", 2**64),
    (TokenParameters, "block_size", 7),
    (TrainingParameters, "learning_rate", 0.0),
    (TrainingParameters, "learning_rate", 1.1),
    (TrainingParameters, "num_train_epochs", 0.0),
    (TrainingParameters, "num_train_epochs", float("inf")),
    (TrainingParameters, "weight_decay", float("nan")),
    (SamplingParameters, "temperature", float("inf")),
    (TrainingParameters, "max_steps", 0),
    (TrainingParameters, "max_steps", -1),
    (TrainingParameters, "batch_size", 0),
    (TrainingParameters, "weight_decay", -0.1),
    (TrainingParameters, "adam_beta1", 1.0),
    (TrainingParameters, "adam_beta2", 1.0),
    (TrainingParameters, "adam_epsilon", 0.0),
    (TrainingParameters, "max_grad_norm", 0.0),
    (TrainingParameters, "preprocessing_processes", 0),
    (TrainingParameters, "seed", 2**32),
    (SamplingParameters, "num_samples", 0),
    (SamplingParameters, "max_length", 0),
    (SamplingParameters, "min_length", -1),
    (SamplingParameters, "num_beams", 0),
    (SamplingParameters, "temperature", 0.0),
    (SamplingParameters, "top_k", -1),
    (SamplingParameters, "top_p", 0.0),
    (SamplingParameters, "top_p", 1.1),
    (SamplingParameters, "no_repeat_ngram_size", -1),
    (ReleaseParameters, "name", ""),
    (ReleaseParameters, "name", "a/b"),
    (ReleaseParameters, "name", "name\n"),
    (ReleaseParameters, "name", "n" * 101),
]


def test_every_learning_parameter_of_the_seed_is_a_parameter_with_its_default() -> None:
    defaults = TrainingParameters().model_dump()
    for name in ("learning_rate", "batch_size"):
        assert defaults.pop(name) is None, "left out, so that a model from scratch can have a recipe of its own"
    recipe = choose_recipe(TrainingParameters(), preset=None, blocks=100)
    defaults |= {"learning_rate": recipe.learning_rate, "batch_size": recipe.batch_size}
    assert {name: defaults[name] for name in SEED_TABLE} == SEED_TABLE


def test_every_generation_setting_of_happy_transformer_is_a_parameter() -> None:
    assert set(SamplingParameters.model_fields) >= GENERATION_SETTINGS


@pytest.mark.parametrize(("group", "name"), FIELDS, ids=lambda value: getattr(value, "__name__", value))
def test_the_description_of_each_field_states_its_limits(group: type[Group], name: str) -> None:
    field = group.model_fields[name]
    assert field.description
    assert not field.is_required()
    signs = {"gt": ">", "ge": "≥", "lt": "<", "le": "≤"}
    for limit in field.metadata:
        for attribute, sign in signs.items():
            if hasattr(limit, attribute):
                assert f"{sign} {getattr(limit, attribute)}" in field.description
    assert field.description.count("[") <= 1
    in_the_form = group.model_json_schema()["properties"][name]["description"]
    assert in_the_form == field.description


@pytest.mark.parametrize("group", GROUPS)
def test_a_group_is_frozen_and_refuses_unknown_names(group: type[Group]) -> None:
    name = next(iter(group.model_fields))
    with pytest.raises(ValidationError, match="frozen"):
        setattr(group(), name, None)
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        group.model_validate({"learning_rat": 1})


@pytest.mark.parametrize(("group", "name", "value"), OUT_OF_RANGE)
def test_values_out_of_range_are_refused(group: type[Group], name: str, value: object) -> None:
    with pytest.raises(ValidationError) as caught:
        group.model_validate({name: value})
    assert [error["loc"] for error in caught.value.errors()] == [(name,)]


@pytest.mark.parametrize(
    ("group", "values", "sentence"),
    [
        (SamplingParameters, {"min_length": 9, "max_length": 8}, r"min_length \(9\) is larger than max_length \(8\)"),
        (SamplingParameters, {"prompts": ()}, "empty prompt or none"),
        (SamplingParameters, {"prompts": ("x", "")}, "empty prompt or none"),
        (TrainingParameters, {"save_preprocessed_data": True}, "save_preprocessed_data_path is empty: name a file"),
        (TrainingParameters, {"load_preprocessed_data": True}, "load_preprocessed_data_path is empty: name a file"),
    ],
)
def test_values_that_contradict_each_other_are_refused(
    group: type[Group], values: dict[str, object], sentence: str
) -> None:
    with pytest.raises(ValidationError, match=sentence):
        group.model_validate(values)


def test_one_text_stands_for_a_list_of_one() -> None:
    assert CorpusParameters.model_validate({"source": "a.txt"}).source == ("a.txt",)
    assert SamplingParameters.model_validate({"prompts": "you can"}).prompts == ("you can",)


@pytest.mark.parametrize("group", GROUPS)
def test_a_group_goes_through_json_unchanged(group: type[Group]) -> None:
    assert group.model_validate_json(group().model_dump_json()) == group()


def test_a_flag_has_the_name_of_the_command_line() -> None:
    assert flag("training", "batch_size") == "--training.batch-size"


def test_parameters_import_nothing_but_pydantic() -> None:
    heavy = {"prefect", "torch", "boto3", "transformers", "happytransformer", "cyclopts", "yaml", "pandas", "rich"}
    program = f"import sys, {parameters.__name__}; print(*sorted({heavy!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
