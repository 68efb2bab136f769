"""A plan as a table of at most 80 columns."""

import textwrap
from collections.abc import Iterator

from tasks.plan.plan import Plan
from tasks.units import duration, number, size

WIDTH, LABEL = 80, 15


def plan_text(plan: Plan) -> str:
    """The whole plan: figures, warnings, and the stages that a run without --plan reuses."""
    lines = [line for label, value in _rows(plan) for line in _row(label, value)]
    for warning in plan.warnings:
        lines += ["", *textwrap.wrap(f"warning: {warning}", WIDTH, subsequent_indent="  ", break_on_hyphens=False)]
    kept = (
        "Nothing was trained, sampled or published. Corpus, base model, tokens and report are finished: the same "
        "command without --plan reuses them."
    )
    return "\n".join([*lines, "", *textwrap.wrap(kept, WIDTH, break_on_hyphens=False)])


def _rows(plan: Plan) -> Iterator[tuple[str, str]]:
    corpus, tokens, memory = plan.corpus, plan.tokens, plan.memory
    split = f"{corpus.train_documents:,} to train on, {corpus.eval_documents:,} held out"
    yield "documents", f"{corpus.documents:,}: {split}"
    yield "tokens", f"{tokens.train_tokens:,} to train on, {tokens.eval_tokens:,} held out"
    yield "blocks", f"{tokens.train_blocks:,} to train on, {tokens.eval_blocks:,} held out, of {tokens.block_size:,}"
    yield "loss floor", "unknown" if plan.floor is None else f"{number(plan.floor)} nats per token"
    yield "model", _model(plan)
    yield "device", f"{plan.device}, {plan.precision}"
    yield from _steps(plan)
    processes = "" if plan.steps.processes == 1 else f" ({plan.steps.processes:,} processes)"
    yield "memory", f"{size(memory.needed)}{processes} of {size(memory.free)} free ({size(memory.total)} in all)"
    yield "  weights", f"{size(memory.weights):>12}"
    yield "  gradients", f"{size(memory.gradients):>12}"
    yield "  optimizer", f"{size(memory.optimizer):>12}"
    yield "  activations", f"{size(memory.activations):>12}"
    yield "  spare", f"{size(memory.spare):>12}"
    yield "time", _time(plan)


def _model(plan: Plan) -> str:
    trained = plan.size.trained
    adapters = "" if trained == plan.size.parameters else f", {trained:,} trained in adapters"
    return f"{plan.base.name}, {plan.size.parameters:,} weights{adapters}"


def _steps(plan: Plan) -> Iterator[tuple[str, str]]:
    steps = plan.steps
    yield "steps", f"{steps.total:,} ({steps.per_epoch:,} per epoch, {number(steps.epochs)} epochs)"
    yield "  each", f"batch {steps.batch_size:,} x accumulation {steps.accumulation:,} x processes {steps.processes:,}"
    warmup = f", {steps.warmup:,} steps of warm-up" if steps.warmup else ""
    yield "  learning rate", f"{steps.learning_rate:g}, {steps.schedule}{warmup}"


def _time(plan: Plan) -> str:
    if plan.time is None:
        return f"no estimate: {plan.no_time}"
    busy = f", on a busy machine: load {plan.time.load:.0f}" if plan.time.load > 1 else ""
    return (
        f"about {duration(plan.time.estimate)} for training and evaluation ({duration(plan.time.step)} per step, the "
        f"median of {plan.time.timed_steps:,}{busy}); loading, sampling and publishing are not included"
    )


def _row(label: str, value: str) -> list[str]:
    lines = textwrap.wrap(value, WIDTH - LABEL - 2, break_on_hyphens=False, drop_whitespace=not value.startswith(" "))
    return [f"{'' if index else label:<{LABEL}}  {line}" for index, line in enumerate(lines)]
