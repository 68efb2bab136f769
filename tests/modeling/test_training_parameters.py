"""Each row of the seed's table arrives where it acts."""

from pathlib import Path
from typing import Any

import pytest
import torch

from tasks.errors import InputError
from tasks.modeling.finetuning import Outcome, check_device
from tasks.modeling.happy import TunableGeneration, tuning_args
from tasks.modeling.loss import Row
from tasks.modeling.recipes import FROM_SCRATCH, PRETRAINED, STEPS_WANTED, choose_recipe
from tasks.parameters import TrainingParameters
from tests.modeling.conftest import Train

UNUSUAL: dict[str, Any] = {
    "learning_rate": 7e-3,
    "num_train_epochs": 2.0,
    "batch_size": 3,
    "weight_decay": 0.125,
    "adam_beta1": 0.75,
    "adam_beta2": 0.5,
    "adam_epsilon": 1e-3,
    "max_grad_norm": 0.25,
    "seed": 7,
}
SEEDS_DEFAULTS: dict[str, Any] = {
    "learning_rate": 5e-5,
    "num_train_epochs": 3.0,
    "batch_size": 1,
    "weight_decay": 0.0,
    "adam_beta1": 0.9,
    "adam_beta2": 0.999,
    "adam_epsilon": 1e-8,
    "max_grad_norm": 1.0,
    "fp16": False,
}
IN_ARGUMENTS = {"batch_size": "per_device_train_batch_size"}
Trained = tuple[TunableGeneration, Outcome]


@pytest.fixture(scope="module")
def unusual(neo_folder: Path, train_rows: list[Row], eval_rows: list[Row], tmp_path_factory: Any) -> Trained:
    return _train(UNUSUAL, neo_folder, train_rows, eval_rows, tmp_path_factory.mktemp("unusual"))


@pytest.fixture(scope="module")
def usual(neo_folder: Path, train_rows: list[Row], eval_rows: list[Row], tmp_path_factory: Any) -> Trained:
    return _train({}, neo_folder, train_rows, eval_rows, tmp_path_factory.mktemp("usual"))


def _train(values: dict[str, Any], base: Path, rows: list[Row], held_out: list[Row], place: Path) -> Trained:
    train: Train = Train_fixture(base, rows, held_out, place)
    return train(**values)
