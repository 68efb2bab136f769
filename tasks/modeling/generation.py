"""Generate: prompts in, samples out, each with the seed that makes it again.

What comes in: a loaded model, prompts and sampling parameters in Happy Transformer's names. What it leaves: for each
prompt its samples in order. A sample's seed depends on `sampling.seed` and its place only, so the samples before and
after training use the same random numbers. The model is in eval mode.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import torch
from happytransformer import GENSettings

from tasks.errors import InputError
from tasks.modeling.happy import TunableGeneration
from tasks.modeling.loading import positions
from tasks.parameters import SamplingParameters


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


def generation_settings(sampling: SamplingParameters) -> GENSettings:
    """Happy Transformer's settings, value by value; `bad_words` are held by `NeverWritten` instead."""
    return GENSettings(
        min_length=sampling.min_length,
        max_length=sampling.max_length,
        do_sample=sampling.do_sample,
        early_stopping=sampling.early_stopping,
        num_beams=sampling.num_beams,
        temperature=sampling.temperature,
        top_k=sampling.top_k,
        top_p=sampling.top_p,
        no_repeat_ngram_size=sampling.no_repeat_ngram_size,
    )


def sample_seed(seed: int, prompt_index: int, sample_index: int) -> int:
    """The seed of one sample: 63 bits of a digest, so that neighbouring seeds share no sample."""
    digest = hashlib.sha256(f"{seed}/{prompt_index}/{sample_index}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def generate(generator: TunableGeneration, prompts: Sequence[str], sampling: SamplingParameters) -> list[Sample]:
    """`sampling.num_samples` samples of each prompt; InputError before any work where a prompt leaves no room."""
    for prompt in prompts:
        _check_room(generator, prompt, sampling.max_length)
    generator.model.eval()
    generator.never_write(sampling.bad_words)
    settings = generation_settings(sampling)
    samples = []
    for prompt_index, prompt in enumerate(prompts):
        visible = generator.tokenizer.decode(
            generator.tokenizer(prompt)["input_ids"], skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        for sample_index in range(sampling.num_samples):
            seed = sample_seed(sampling.seed, prompt_index, sample_index)
            torch.manual_seed(seed)
            text = generator.generate_text(prompt, args=settings).text
            samples.append(Sample(prompt, seed, text, visible + text))
    return samples


def _check_room(generator: TunableGeneration, prompt: str, max_length: int) -> None:
    tokens, room = len(generator.tokenizer(prompt)["input_ids"]), positions(generator.model.config)
    if tokens + max_length > room:
        raise InputError(
            f"The prompt {prompt[:40]!r} has {tokens:,} tokens, and with --sampling.max-length {max_length:,} that is "
            f"more than the {room:,} tokens of the model's context; shorten the prompt or lower --sampling.max-length."
        )
