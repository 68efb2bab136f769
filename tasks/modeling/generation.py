"""Generate: prompts in, samples out, each with the seed that makes it again.

What comes in: a loaded model, prompts and sampling parameters in Happy Transformer's names. What it leaves: for each
prompt its samples in order. A sample's seed depends on `sampling.seed` and its place only, so the samples before and
after training use the same random numbers.

All prompts and samples are written in one batch (several, where that would take much memory), and still a sample is a
function of the model, its prompt, the parameters and its own seed: `generate_again` writes the same text alone. The
model's arithmetic on a batch differs from that on one row in the last bits, which changes a token about once in a
million in float32. Nothing here touches the random numbers of the process, the tokenizer, or the model's own
generation config; the model ends in eval mode.
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
from tasks.modeling.logits_processors import limits, seeded_draw
from tasks.parameters import SamplingParameters

MOST_ROWS, MOST_TOKENS = 256, 16_384
"""Of one batch, prompts and pads counted. Keys and values of 16,384 tokens take 6.4 GB in GPT-Neo 1.3B."""


@dataclass(frozen=True)
class Sample:
    """What a model wrote after `prompt`; the same seed on the same model writes it again."""

    prompt: str
    seed: int
    text: str
    document: str
    """Prompt and text together, without special tokens."""

    def as_dict(self) -> dict[str, str | int]:
        """Plain values for JSON."""
        return asdict(self)


class Row(NamedTuple):
    """All that a text depends on, besides the model and the parameters."""

    ids: tuple[int, ...]
    """The prompt, one token at least."""

    seed: int
    """Of the draw; 0 where nothing is drawn, so that the samples of a prompt are one row."""


def sample_seed(seed: int, prompt_index: int, sample_index: int) -> int:
    """The seed of one sample: 63 bits of a digest, so that neighbouring seeds share no sample."""
    digest = hashlib.sha256(f"{seed}/{prompt_index}/{sample_index}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def generate(generator: TunableGeneration, prompts: Sequence[str], sampling: SamplingParameters) -> list[Sample]:
    """`sampling.num_samples` samples of each prompt; InputError before any work where a prompt leaves no room."""
    return _write(generator, _wanted(prompts, sampling), sampling)


def generate_where_it_fits(
    generator: TunableGeneration, prompts: Sequence[str], sampling: SamplingParameters
) -> list[Sample]:
    """As `generate`; after a prompt that leaves no room nothing is written, and its samples have an empty text.

    InputError where all of them are such.
    """
    fitting = {prompt for prompt in prompts if has_room(generator, prompt, sampling)} or set(prompts)
    wanted = _wanted(prompts, sampling)
    written = iter(_write(generator, [one for one in wanted if one[0] in fitting], sampling))
    return [next(written) if prompt in fitting else Sample(prompt, seed, "", prompt) for prompt, seed in wanted]


def has_room(generator: TunableGeneration, prompt: str, sampling: SamplingParameters) -> bool:
    """Whether prompt and text fit into the context of the model."""
    try:
        _encode(generator, prompt, sampling.max_length)
    except InputError:
        return False
    return True


def _wanted(prompts: Sequence[str], sampling: SamplingParameters) -> list[tuple[str, int]]:
    places = [(number, index) for number in range(len(prompts)) for index in range(sampling.num_samples)]
    return [(prompts[number], sample_seed(sampling.seed, number, index)) for number, index in places]


def generate_again(generator: TunableGeneration, prompt: str, seed: int, sampling: SamplingParameters) -> Sample:
    """The sample with this seed, alone: what `generate` wrote with the same parameters."""
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
    """A prompt's tokens; the end-of-text token, behind which a document begins, where it has none."""
    ids = tuple(generator.tokenizer(prompt, verbose=False)["input_ids"]) or (generator.tokenizer.eos_token_id,)
    tokens, room = len(ids), positions(generator.model.config)
    if tokens + max_length > room:
        raise InputError(
            f"The prompt {prompt[:40]!r} has {tokens:,} tokens, and with --sampling.max-length {max_length:,} that is "
            f"more than the {room:,} tokens of the model's context; shorten the prompt or lower --sampling.max-length."
        )
    return ids


def _texts(tokenizer: Any, row: Row, written: list[int]) -> tuple[str, str]:
    """What was written and the whole document: what the tokens say, special tokens left out, nothing tidied."""
    values = {"skip_special_tokens": True, "clean_up_tokenization_spaces": False}
    prompt, document = (tokenizer.decode(ids, **values) for ids in (row.ids, [*row.ids, *written]))
    return document[len(prompt) :], document


def _batches(rows: Sequence[Row], sampling: SamplingParameters) -> Iterator[list[Row]]:
    """Each different row once, those with prompts of like length together; a beam search takes one at a time."""
    most_rows = 1 if sampling.num_beams > 1 else MOST_ROWS
    batch: list[Row] = []
    for row in sorted(dict.fromkeys(rows), key=lambda row: len(row.ids)):
        tokens = (len(batch) + 1) * (len(row.ids) + sampling.max_length)
        if batch and (len(batch) == most_rows or tokens > MOST_TOKENS):
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch


def _write_batch(generator: TunableGeneration, rows: Sequence[Row], sampling: SamplingParameters) -> list[list[int]]:
    """The tokens that the model writes behind each prompt, up to the end-of-text token and without it."""
    end = generator.tokenizer.eos_token_id
    width = max(len(row.ids) for row in rows)
    pads = [width - len(row.ids) for row in rows]
    # generate() takes a prompt that ends in a pad for one padded on the wrong side, and warns. Pads are never read.
    pad = next(token for token in (end, *range(len(rows) + 1)) if all(row.ids[-1] != token for row in rows))
    prompts = torch.tensor([[pad] * left + list(row.ids) for left, row in zip(pads, rows, strict=True)])
    real = torch.tensor([[0] * left + [1] * (width - left) for left in pads])
    processors = limits(sampling, generator.tokenizer, [left for left in pads for _ in range(sampling.num_beams)])
    if sampling.do_sample and sampling.num_beams == 1:
        processors += seeded_draw(sampling, [row.seed for row in rows])
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
    """Whole: nothing is left to the model's own. What is drawn without beams, `seeded_draw` draws."""
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
    """PyTorch's random numbers, which beams that are drawn take: seeded here, and as they were afterwards."""
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        yield
