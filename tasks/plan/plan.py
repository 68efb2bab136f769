"""The plan of a training (`python flows/train.py --plan`): its steps, memory and time, before it is started.

A few optimizer steps are taken to time them; no weights, checkpoint, sample or release is left.
"""

import os
from typing import Any

from pydantic import BaseModel, ConfigDict

from tasks.errors import InputError
from tasks.modeling.schedule import count_steps, count_warmup_steps, eval_every, steps_per_epoch
from tasks.parameters import TrainingParameters
from tasks.stage.references import Corpus, ModelReference, Report, TokenBlocks
from tasks.training.job import Job

USABLE_SHARE = 0.9
"""Fraction of the free memory that a training may take: the estimate is not exact, and other processes need some."""


class Figures(BaseModel):
    """Numbers that belong together."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Steps(Figures):
    """How the training iterates over its data."""

    total: int
    per_epoch: int
    warmup: int
    epochs: float
    """Calculated if max_steps is given."""
    batch_size: int
    accumulation: int
    processes: int
    learning_rate: float
    schedule: str


class Size(Figures):
    """Parameters of the model: all of them, and those that are trained."""

    parameters: int
    trained: int


class Memory(Figures):
    """Bytes that a device needs and has; on a CPU, of all processes on this machine together."""

    weights: int
    gradients: int
    optimizer: int
    activations: int
    spare: int
    needed: int
    free: int
    total: int
    fits: bool
    change: str | None
    """What to change where it does not fit."""


class Time(Figures):
    """Seconds; the estimate is for training and evaluation, not for loading, sampling and publishing."""

    first_step: float
    step: float
    timed_steps: int
    estimate: float
    load: float
    """The machine's load average before the first step; with more than its cores the estimate is too long."""


class Plan(Figures):
    """All that is known about a training before it starts."""

    corpus: Corpus
    tokens: TokenBlocks
    base: ModelReference
    size: Size
    steps: Steps
    device: str
    precision: str
    memory: Memory
    time: Time | None
    no_time: str | None
    """Why there is no estimate."""
    floor: float | None
    """Lowest held-out loss, in nats per token, where it is known exactly."""
    warnings: tuple[str, ...] = ()


def make_plan(
    corpus: Corpus, base: ModelReference, tokens: TokenBlocks, report: Report, training: TrainingParameters
) -> Plan:
    """Count, compare and time; raises InputError where the device or the model does not support the parameters."""
    from tasks.modeling.devices import check_device, choose_precision, world_size
    from tasks.modeling.footprint import device_memory, measure_model

    check_device(training)
    job = Job(key="", tokens=tokens, base=base, training=training, processes=world_size(training))
    steps = _steps(job)
    size = measure_model(base.load_from, base.revision, training)
    memory = _memory(size, steps, tokens.block_size, training)
    time, no_time = _time(job, steps) if memory.fits else (None, "the memory is too small")
    return Plan(
        corpus=corpus,
        tokens=tokens,
        base=base,
        size=Size(parameters=size.parameters, trained=size.trained),
        steps=steps,
        device=device_memory().device,
        precision=choose_precision(training),
        memory=memory,
        time=time,
        no_time=no_time,
        floor=report.floor,
    )


def _steps(job: Job) -> Steps:
    training, recipe = job.training, job.recipe
    shape = (job.tokens.train_blocks, recipe.batch_size, training.gradient_accumulation_steps, job.processes)
    total = count_steps(*shape, training.num_train_epochs, training.max_steps)
    per_epoch = steps_per_epoch(*shape)
    return Steps(
        total=total,
        per_epoch=per_epoch,
        warmup=count_warmup_steps(total, recipe.warmup_ratio),
        epochs=training.num_train_epochs if training.max_steps is None else total / per_epoch,
        batch_size=recipe.batch_size,
        accumulation=training.gradient_accumulation_steps,
        processes=job.processes,
        learning_rate=recipe.learning_rate,
        schedule=recipe.lr_scheduler_type,
    )


def _memory(size: Any, steps: Steps, block_size: int, training: TrainingParameters) -> Memory:
    """On GPUs each process has its own memory; on a CPU all share the machine's."""
    from tasks.modeling.devices import choose_precision, local_world_size, memory_advice
    from tasks.modeling.footprint import device_memory, footprint

    device = device_memory()
    gpu = device.kind == "cuda"
    one = footprint(
        size,
        training,
        choose_precision(training),
        batch_size=steps.batch_size,
        block_size=block_size,
        processes=steps.processes,
        gpu=gpu,
    )
    sharing = 1 if gpu else local_world_size(training)
    needed = one.total * sharing
    advice = memory_advice(training, batch_size=steps.batch_size, block_size=block_size)
    fits = needed <= device.free * USABLE_SHARE
    return Memory(
        weights=one.weights * sharing,
        gradients=one.gradients * sharing,
        optimizer=one.optimizer * sharing,
        activations=one.activations * sharing,
        spare=one.spare * sharing,
        needed=needed,
        free=device.free,
        total=device.total,
        fits=fits,
        change=None if fits else f"{advice}.",
    )


def _time(job: Job, steps: Steps) -> tuple[Time | None, str | None]:
    """An estimate, or why there is none."""
    from tasks.modeling.happy import TunableGeneration
    from tasks.modeling.timing import time_steps

    if job.processes > 1 or job.training.fsdp:
        return None, "it is measured with one process only"
    load = os.getloadavg()[0]
    generator = TunableGeneration(job.base.type, job.base.load_from, revision=job.base.revision)
    try:
        timing = time_steps(generator, *job.blocks(), training=job.training, recipe=job.recipe)
    except InputError as error:
        return None, str(error).rstrip(".")
    every = eval_every(job.training.eval_steps, steps.total)
    evaluations = 2 + -(-steps.total // every)  # before the first step, and again after the last
    whole = timing.estimate(steps.total, evaluations * job.tokens.eval_blocks)
    return Time(
        first_step=timing.first_step, step=timing.step, timed_steps=timing.timed, estimate=whole, load=load
    ), None
