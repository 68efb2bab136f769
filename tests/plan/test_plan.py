"""Figures, warnings and table of a plan."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate.data_loader import BatchSamplerShard
from torch.utils.data import BatchSampler, SequentialSampler
from transformers import Trainer, TrainingArguments

from tasks.modeling.schedule import count_steps, count_warmup_steps, steps_per_epoch
from tasks.parameters import SamplingParameters, TrainingParameters
from tasks.plan.plan import Memory, Plan, Size, Steps, Time
from tasks.plan.text import plan_text
from tasks.plan.warnings import find_warnings
from tasks.settings import settings
from tasks.units import duration, size
from tests.factories import references

KNOWN = SamplingParameters(prompts=("a c",))


class OneWeight(torch.nn.Module):
    """The smallest model that Trainer accepts."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"loss": (self.weight * x).mean()}


def trainers_steps(folder: Path, blocks: int, batch: int, accumulation: int, **length: float) -> int:
    arguments = TrainingArguments(
        str(folder), per_device_train_batch_size=batch, gradient_accumulation_steps=accumulation,
        save_strategy="no", report_to=[], disable_tqdm=True, use_cpu=True, **length,  # type: ignore[arg-type]
    )  # fmt: skip
    data = [{"x": torch.ones(1)}] * blocks
    trainer = Trainer(model=OneWeight(), args=arguments, train_dataset=data)
    trainer.train()
    assert trainer.state.global_step == trainer.state.max_steps
    return int(trainer.state.max_steps)


@pytest.mark.parametrize(
    ("blocks", "batch", "accumulation", "epochs", "most"),
    [
        (1, 1, 1, 3.0, None), (10, 3, 1, 1.0, None), (10, 3, 3, 2.0, None), (10, 3, 8, 2.0, None), (7, 2, 2, 0.3, None),
        (7, 2, 2, 2.5, None), (5, 1, 1, 9.0, 4),
    ],
)  # fmt: skip
def test_the_steps_are_those_that_the_trainer_takes(  # noqa: PLR0917
    blocks: int, batch: int, accumulation: int, epochs: float, most: int | None, tmp_path: Path
) -> None:
    counted = count_steps(blocks, batch, accumulation, 1, epochs, most)
    length = {"num_train_epochs": epochs, "max_steps": most or -1}
    assert counted == trainers_steps(tmp_path, blocks, batch, accumulation, **length)


@pytest.mark.parametrize("processes", [2, 3])
@pytest.mark.parametrize("blocks", [1, 5, 12, 13])
def test_each_process_gets_as_many_batches_as_accelerate_gives_it(blocks: int, processes: int) -> None:
    batches = BatchSampler(SequentialSampler(range(blocks)), 2, drop_last=False)
    shards = [BatchSamplerShard(batches, processes, number) for number in range(processes)]
    assert {len(shard) for shard in shards} == {steps_per_epoch(blocks, 2, 1, processes)}


def test_the_warm_up_is_rounded_up() -> None:
    assert [count_warmup_steps(steps, 0.1) for steps in (1, 10, 11)] == [1, 1, 2]


@pytest.fixture
def plan() -> Callable[..., Plan]:
    """Makes a plan without warnings, changed in the given fields; its corpus has two documents."""
    made = references.corpus(documents=12_000, train_documents=11_000)
    made.folder.mkdir(parents=True)
    for split, text in (("train", "a c e x"), ("eval", "b d f x")):
        (made.folder / f"{split}.jsonl").write_text(json.dumps({"text": text}) + "\n")

    def make(**changed: Any) -> Plan:
        parts: dict[str, dict[str, Any]] = {
            "tokens": {"train_blocks": 890, "train_tokens": 113_916, "eval_tokens": 12_637},
            "base": {"preset": "scratch-tiny"},
            "size": {"parameters": 922_880, "trained": 922_880},
            "steps": {
                "total": 297, "per_epoch": 99, "warmup": 30, "epochs": 3.0, "batch_size": 9, "accumulation": 1,
                "processes": 1, "learning_rate": 3e-3, "schedule": "cosine",
            },
            "memory": {
                "weights": 2**30, "gradients": 2**20, "optimizer": 2**21, "activations": 2**22, "spare": 2**21,
                "needed": 2**31, "free": 2**33, "total": 2**34, "fits": True, "change": None,
            },
        }  # fmt: skip
        for part, values in changed.items():
            parts[part] |= values
        return Plan(
            corpus=made, tokens=references.blocks(**parts["tokens"]), base=references.model(**parts["base"]),
            size=Size(**parts["size"]), steps=Steps(**parts["steps"]), device="CPU (2 cores)", precision="fp32",
            memory=Memory(**parts["memory"]), floor=0.512, no_time=None,
            time=Time(first_step=1.0, step=0.5, timed_steps=3, estimate=4000.0, load=0.4),
        )  # fmt: skip

    return make


def warnings(plan: Plan, sampling: SamplingParameters = KNOWN, distinct: int = 48_600, **training: Any) -> str:
    return "\n".join(find_warnings(plan, TrainingParameters(**training), sampling, distinct))


def test_a_training_that_makes_sense_has_no_warnings(plan: Callable[..., Plan]) -> None:
    assert warnings(plan()) == ""


@pytest.mark.parametrize(
    ("changed", "wanted"),
    [
        (
            {"tokens": {"train_blocks": 1, "block_size": 2048}},
            "only 1 row of 2,048 tokens .* 1 optimizer step per epoch",
        ),
        ({"steps": {"total": 49, "warmup": 5}}, "only 49 optimizer steps"),
        ({"steps": {"total": 60, "warmup": 30}}, "rises from 0 for 30 of 60 steps"),
        ({"steps": {"learning_rate": 5e-5}}, "5e-05 is for pretrained weights; those of scratch-tiny are random"),
        ({"base": {"preset": None}}, "0.003 is for random weights"),
        ({"tokens": {"eval_tokens": 999}}, "a mean over 999 tokens only"),
        ({"tokens": {"documents_over_block": 7, "longest_document": 40}}, "7 of 12,000 documents are longer .* has 40"),
        ({"memory": {"fits": False, "change": "Too little: change it."}}, "Too little: change it."),
        (
            {"steps": {"epochs": 17.0}, "size": {"trained": 1_139_160}},
            r"11,000 of the template's 48,600 variants 17\.0 times .* below 10\.79 nats per document \(towards 9\.31\)",
        ),
    ],
)
def test_parameters_that_make_no_sense_give_one_warning(
    changed: dict[str, dict[str, Any]], wanted: str, plan: Callable[..., Plan]
) -> None:
    said = warnings(plan(**changed))
    assert re.search(wanted, said)
    assert "\n" not in said


@pytest.mark.parametrize(
    ("changed", "distinct"),
    [
        ({"steps": {"epochs": 4.0}, "size": {"trained": 10**9}}, 48_600),
        ({"steps": {"epochs": 50.0}, "size": {"trained": 1_139_159}}, 48_600),
        ({"steps": {"epochs": 50.0}, "size": {"trained": 10**9}}, 21_999),
        ({"steps": {"epochs": 50.0}, "size": {"trained": 10**9}}, None),
    ],
)
def test_few_epochs_a_small_model_a_whole_corpus_or_text_files_give_no_warning_of_memorization(
    changed: dict[str, dict[str, Any]], distinct: int, plan: Callable[..., Plan]
) -> None:
    assert warnings(plan(**changed), distinct=distinct) == ""


def test_adapters_allow_a_larger_learning_rate_but_no_random_weights(plan: Callable[..., Plan]) -> None:
    pretrained = {"preset": None}
    assert warnings(plan(base=pretrained, steps={"learning_rate": 9e-3}), lora_rank=8) == ""
    assert "for random weights" in warnings(plan(base=pretrained, steps={"learning_rate": 1e-2}), lora_rank=8)
    assert "--training.lora-rank tunes pretrained weights" in warnings(plan(), lora_rank=8)


def test_a_prompt_that_ends_in_a_space_or_begins_no_document_gives_a_warning(plan: Callable[..., Plan]) -> None:
    said = warnings(plan(), SamplingParameters(prompts=("a c ", "b d f", "c")))
    assert "'a c ' ends in white space" in said
    assert "none of the 12,000 documents begins with the prompt 'c'" in said
    assert len(said.splitlines()) == 2


def test_the_table_fits_80_columns_and_names_the_stages_that_are_kept(plan: Callable[..., Plan]) -> None:
    warned = plan().model_copy(update={"warnings": ("word " * 40,)})
    text = plan_text(warned)
    assert max(map(len, text.splitlines())) <= 80
    for part in ("113,916", "297 (99 per epoch, 3 epochs)", "1.00 GiB", "2.00 GiB of 8.00 GiB free", "67 min", "0.512"):
        assert part in text
    assert "Nothing was trained, sampled or published" in " ".join(text.split())
    assert "busy" not in text
    busy = warned.time.model_copy(update={"load": 13.2}) if warned.time else None
    assert "load 13" in plan_text(plan().model_copy(update={"time": busy}))
    assert "no estimate: the memory is too small" in plan_text(
        plan().model_copy(update={"time": None, "no_time": "the memory is too small"})
    )


def test_sizes_and_durations_have_units_that_a_person_can_read() -> None:
    assert [size(number) for number in (2**19, 2**30 - 1, 2**30, 1500 * 2**30)] == [
        "0.5 MiB", "1,024.0 MiB", "1.00 GiB", "1,500.00 GiB",
    ]  # fmt: skip
    assert [duration(seconds) for seconds in (0.0123, 1, 89, 90, 5399, 5400)] == [
        "12 ms", "1.0 s", "89.0 s", "2 min", "90 min", "1.5 h",
    ]  # fmt: skip


def test_warnings_leave_nothing_in_the_data_folder(plan: Callable[..., Plan]) -> None:
    warnings(plan())
    assert [path.name for path in settings().data.iterdir()] == ["corpus"]
