"""Warnings of a plan: parameters that make no sense, each in one sentence that says what to change."""

from collections.abc import Iterable, Iterator
from itertools import chain
from math import log

from tasks.dataset import block_size_warning, read_jsonl_documents
from tasks.parameters import SamplingParameters, TrainingParameters
from tasks.plan.plan import Plan
from tasks.stage.references import Corpus

FEW_STEPS = 50
FEW_HELD_OUT_TOKENS = 1_000
LARGE_RATE, LARGE_ADAPTER_RATE = 1e-3, 1e-2
"""Learning rates from which pretrained weights are destroyed rather than tuned; adapters take ten times more."""
SMALL_SHARE = 0.25
"""A learning rate of this fraction of the preset's recipe, or less, hardly changes random weights."""
REPEATED_EPOCHS = 16
"""The tiny model was seen to generalise after 14.5 epochs of 2,000 of the 48,600 sentences of `cheese.spintax`."""
MEMORIZING_PARAMETERS = 10
"""Trained parameters per training token from which a model can memorise the corpus."""


def with_warnings(plan: Plan, training: TrainingParameters, sampling: SamplingParameters, distinct: int | None) -> Plan:
    """The plan with its warnings."""
    return plan.model_copy(update={"warnings": tuple(find_warnings(plan, training, sampling, distinct))})


def find_warnings(
    plan: Plan, training: TrainingParameters, sampling: SamplingParameters, distinct: int | None
) -> list[str]:
    """All warnings; `distinct` is the number of variants of the templates, None for text files or if not known."""
    return [
        *_memory(plan),
        *_steps(plan),
        *_learning_rate(plan, training),
        *_held_out(plan),
        *_memorization(plan, distinct),
        *_prompts(plan.corpus, sampling.prompts, templates=distinct is not None),
    ]


def _memory(plan: Plan) -> Iterator[str]:
    if plan.memory.change is not None:
        yield plan.memory.change


def _steps(plan: Plan) -> Iterator[str]:
    steps, tokens = plan.steps, plan.tokens
    few_blocks = block_size_warning(tokens.train_blocks, block_size=tokens.block_size)
    if few_blocks:
        yield few_blocks
    if steps.total < FEW_STEPS:
        yield (
            f"the training has only {steps.total:,} optimizer steps ({steps.per_epoch:,} per epoch): add documents, "
            "raise --training.num-train-epochs, or lower --training.batch-size, "
            "--training.gradient-accumulation-steps or --tokens.block-size"
        )
    if steps.warmup and 2 * steps.warmup >= steps.total:
        yield (
            f"the learning rate rises from 0 for {steps.warmup:,} of {steps.total:,} steps, so it is hardly ever as "
            "high as requested: take more steps, or lower --training.warmup-ratio"
        )
    if tokens.documents_over_block:
        yield (
            f"{tokens.documents_over_block:,} of {plan.corpus.documents:,} documents are longer than a block of "
            f"{tokens.block_size:,} tokens (the longest has {tokens.longest_document or 0:,}), so they are cut: raise "
            "--tokens.block-size"
        )


def _learning_rate(plan: Plan, training: TrainingParameters) -> Iterator[str]:
    from tasks.modeling.recipes import FROM_SCRATCH, PRETRAINED

    rate, preset, adapters = plan.steps.learning_rate, plan.base.preset, training.lora_rank is not None
    if preset and adapters:
        yield (
            f"--training.lora-rank tunes pretrained weights, and those of {preset} are random and would stay so: leave "
            "it out, or name a pretrained model"
        )
    elif preset and rate <= SMALL_SHARE * FROM_SCRATCH[preset].learning_rate:
        yield (
            f"--training.learning-rate {rate:g} is for pretrained weights; those of {preset} are random and will "
            f"hardly have learned anything: leave it out (its recipe has {FROM_SCRATCH[preset].learning_rate:g})"
        )
    elif not preset and rate >= (LARGE_ADAPTER_RATE if adapters else LARGE_RATE):
        yield (
            f"--training.learning-rate {rate:g} is for random weights; pretrained ones will forget what they know: "
            f"leave it out ({PRETRAINED.learning_rate:g})"
        )


def _held_out(plan: Plan) -> Iterator[str]:
    if plan.tokens.eval_tokens < FEW_HELD_OUT_TOKENS:
        yield (
            f"the held-out loss will be a mean over {plan.tokens.eval_tokens:,} tokens only, so it will be imprecise: "
            "raise --corpus.num-documents or --corpus.eval-fraction"
        )


def _memorization(plan: Plan, distinct: int | None) -> Iterator[str]:
    """Whether the model can memorise the corpus instead of learning the template.

    A model that knows only the template needs ln D nats for each of its D equally likely variants; one that has
    memorised the N training documents needs ln N for each of those, and more for all others. So a training loss
    between ln N and ln D is memorization, and the held-out loss rises. Whether a training gets there is not known in
    advance. The warning requires what memorization requires: at most half of the variants, a model that is large enough
    (10 parameters per token), and more epochs than those after which a model was still seen to generalise. It
    proves nothing: it is a reason to watch the held-out loss.
    """
    documents, epochs = plan.corpus.train_documents, plan.steps.epochs
    if distinct is None or 2 * documents > distinct or epochs <= REPEATED_EPOCHS:
        return
    if plan.size.trained < MEMORIZING_PARAMETERS * plan.tokens.train_tokens:
        return
    yield (
        f"the model sees {documents:,} of the template's {distinct:,} variants {epochs:,.1f} times and is large "
        f"enough to memorise them: a training loss below {log(distinct):.2f} nats per document (towards "
        f"{log(documents):.2f}) would be memorization; draw more documents (--corpus.num-documents), take fewer "
        "epochs, or keep the weights with the lowest held-out loss (--training.load-best-model-at-end)"
    )


def _prompts(corpus: Corpus, prompts: tuple[str, ...], *, templates: bool) -> Iterator[str]:
    """Prompts that end in white space, and those that no document begins with."""
    unknown = _unmatched(_documents(corpus), prompts) if templates else set()
    for prompt in prompts:
        if prompt != prompt.rstrip():
            yield (
                f"the prompt {prompt!r} ends in white space, which in the corpus belongs to the next token: the model "
                "has hardly seen what could follow; leave it out"
            )
        if prompt.rstrip() in unknown:
            yield (
                f"none of the {corpus.documents:,} documents begins with the prompt {prompt.rstrip()!r}: what the "
                "model continues with will be less like them"
            )


def _documents(corpus: Corpus) -> Iterator[str]:
    return chain.from_iterable(read_jsonl_documents(corpus.folder / f"{split}.jsonl") for split in ("train", "eval"))


def _unmatched(documents: Iterable[str], prompts: Iterable[str]) -> set[str]:
    """Those of the prompts, without white space at their end, that no document begins with."""
    left = {prompt.rstrip() for prompt in prompts}
    for document in documents:
        if not left:
            break
        left -= {prompt for prompt in left if document.startswith(prompt)}
    return left
