"""Generation: samples after prompts, each with the seed that reproduces it.

All prompts and samples are generated in one batch (in several to limit memory), and still a sample depends only on the
model, its prompt, the parameters and its own seed: `generate_again` reproduces it alone. Its seed depends only on
`sampling.seed` and its position, so the samples before and after training use the same random numbers. The model's
arithmetic on a batch differs from that on a single row in the last bits, which changes about one token in a million in
fp32. The random state of the process, the tokenizer and the model's own generation config are left unchanged; the model
is left in eval mode.
"""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import torch
from transformers import GenerationConfig

from tasks.errors import InputError
from tasks.modeling.happy import TunableGeneration
from tasks.modeling.loading import positions
from tasks.modeling.logits_processors import constraint_processors, sampling_processors
from tasks.parameters import SamplingParameters

MAX_BATCH_ROWS, MAX_BATCH_TOKENS = 256, 16_384
"""Including prompts and padding. Keys and values of 16,384 tokens take 6.4 GB in GPT-Neo 1.3B."""


@dataclass(frozen=True)
class Sample:
    """What a model wrote after `prompt`; the same seed and model reproduce it."""

    prompt: str
    seed: int
    text: str
    document: str
    """Prompt and text together, without special tokens."""

    def as_dict(self) -> dict[str, str | int]:
        """The fields, for JSON."""
        return asdict(self)


class Row(NamedTuple):
    """All that a sample depends on, besides the model and the parameters."""

    ids: tuple[int, ...]
    """The tokens of the prompt, at least one."""

    seed: int
    """0 without random sampling, so that all samples of a prompt are one row."""


def sample_seed(seed: int, prompt_index: int, sample_index: int) -> int:
    """The seed of one sample: 63 bits of a digest, so that neighbouring values of `seed` share no sample."""
    digest = hashlib.sha256(f"{seed}/{prompt_index}/{sample_index}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def generate(generator: TunableGeneration, prompts: Sequence[str], sampling: SamplingParameters) -> list[Sample]:
    """`sampling.num_samples` samples per prompt, in order; InputError if a prompt is too long for the context."""
    return _write(generator, _wanted(prompts, sampling), sampling)


def generate_where_it_fits(
    generator: TunableGeneration, prompts: Sequence[str], sampling: SamplingParameters
) -> list[Sample]:
    """Like `generate`, but a prompt that is too long for the context gets samples with an empty text.

    Raises InputError if all prompts are too long.
    """
    fitting = {prompt for prompt in prompts if has_room(generator, prompt, sampling)} or set(prompts)
    wanted = _wanted(prompts, sampling)
    written = iter(_write(generator, [one for one in wanted if one[0] in fitting], sampling))
    return [next(written) if prompt in fitting else Sample(prompt, seed, "", prompt) for prompt, seed in wanted]


def has_room(generator: TunableGeneration, prompt: str, sampling: SamplingParameters) -> bool:
    """Whether the prompt and `sampling.max_length` tokens fit into the context of the model."""
    try:
        _encode(generator, prompt, sampling.max_length)
    except InputError:
        return False
    return True


def _wanted(prompts: Sequence[str], sampling: SamplingParameters) -> list[tuple[str, int]]:
    return [
        (prompt, sample_seed(sampling.seed, number, index))
        for number, prompt in enumerate(prompts)
        for index in range(sampling.num_samples)
    ]


def generate_again(generator: TunableGeneration, prompt: str, seed: int, sampling: SamplingParameters) -> Sample:
    """The sample with this seed, alone: the one that `generate` returned with the same parameters."""
    return _write(generator, [(prompt, seed)], sampling)[0]


def _write(
    generator: TunableGeneration, wanted: Sequence[tuple[str, int]], sampling: SamplingParameters
) -> list[Sample]:
    """A sample for each prompt and seed, in order."""
    prompts = {prompt: _encode(generator, prompt, sampling.max_length) for prompt, _ in wanted}
    rows = [Row(prompts[prompt], seed if sampling.do_sample else 0) for prompt, seed in wanted]
    generator.model.to(generator.device)
    generator.model.eval()
    written: dict[Row, list[int]] = {}
    for batch in _batches(rows, sampling):
        written |= zip(batch, _write_batch(generator, batch, sampling), strict=True)
    return [
        Sample(prompt, seed, *_texts(generator.tokenizer, row, written[row]))
        for (prompt, seed), row in zip(wanted, rows, strict=True)
    ]


def _encode(generator: TunableGeneration, prompt: str, max_length: int) -> tuple[int, ...]:
    """The tokens of a prompt; for an empty prompt the end-of-text token, after which a document begins."""
    ids = tuple(generator.tokenizer(prompt, verbose=False)["input_ids"]) or (generator.tokenizer.eos_token_id,)
    tokens, context = len(ids), positions(generator.model.config)
    if tokens + max_length > context:
        raise InputError(
            f"The prompt {prompt[:40]!r} has {tokens:,} tokens, and with --sampling.max-length {max_length:,} that is "
            f"more than the {context:,} tokens of the model's context; shorten the prompt or lower "
            "--sampling.max-length."
        )
    return ids


def _texts(tokenizer: Any, row: Row, written: list[int]) -> tuple[str, str]:
    """The generated text and the whole document, decoded verbatim without special tokens."""
    values = {"skip_special_tokens": True, "clean_up_tokenization_spaces": False}
    prompt, document = (tokenizer.decode(ids, **values) for ids in (row.ids, [*row.ids, *written]))
    return document[len(prompt) :], document


def _batches(rows: Sequence[Row], sampling: SamplingParameters) -> Iterator[list[Row]]:
    """Batches of distinct rows with prompts of similar length; a beam search gets one row at a time."""
    max_rows = 1 if sampling.num_beams > 1 else MAX_BATCH_ROWS
    batch: list[Row] = []
    for row in sorted(dict.fromkeys(rows), key=lambda row: len(row.ids)):
        tokens = (len(batch) + 1) * (len(row.ids) + sampling.max_length)
        if batch and (len(batch) == max_rows or tokens > MAX_BATCH_TOKENS):
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch


def _write_batch(generator: TunableGeneration, rows: Sequence[Row], sampling: SamplingParameters) -> list[list[int]]:
    """The tokens that the model generates after each prompt, up to the end-of-text token and without it."""
    end = generator.tokenizer.eos_token_id
    width = max(len(row.ids) for row in rows)
    padding = [width - len(row.ids) for row in rows]
    # generate() warns of padding on the wrong side if a prompt ends with the pad token. Padding is never read.
    pad = next(token for token in (end, *range(len(rows) + 1)) if all(row.ids[-1] != token for row in rows))
    prompts = torch.tensor([[pad] * left + list(row.ids) for left, row in zip(padding, rows, strict=True)])
    real = torch.tensor([[0] * left + [1] * (width - left) for left in padding])
    beam_padding = [left for left in padding for _ in range(sampling.num_beams)]
    processors = constraint_processors(sampling, generator.tokenizer, beam_padding)
    if sampling.do_sample and sampling.num_beams == 1:
        processors += sampling_processors(sampling, [row.seed for row in rows])
    with torch.inference_mode(), _seeded(rows[0].seed):
        output = generator.model.generate(
            input_ids=prompts.to(generator.device),
            attention_mask=real.to(generator.device),
            generation_config=_config(sampling, end=end, pad=pad),
            logits_processor=processors,
            use_model_defaults=False,
        )
    written: list[list[int]] = output[:, width:].tolist()
    return [ids[: ids.index(end)] if end in ids else ids for ids in written]


def _config(sampling: SamplingParameters, *, end: int, pad: int) -> GenerationConfig:
    """A complete config: nothing comes from the model's own. Without beams, `sampling_processors` sample."""
    values: dict[str, Any] = {}
    if sampling.num_beams > 1:
        values |= {"num_beams": sampling.num_beams, "early_stopping": sampling.early_stopping}
    if sampling.num_beams > 1 and sampling.do_sample:
        values |= {"temperature": sampling.temperature, "top_k": sampling.top_k, "top_p": sampling.top_p}
        values |= {"do_sample": True}
    return GenerationConfig(
        min_new_tokens=sampling.min_length,
        max_new_tokens=sampling.max_length,
        eos_token_id=end,
        pad_token_id=pad,
        **values,
    )


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seed PyTorch's generators, which beam sampling uses, and restore them afterwards."""
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        yield
