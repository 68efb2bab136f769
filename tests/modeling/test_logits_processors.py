"""Sampling is exact, respects all constraints, and does not depend on the other rows of the batch."""

import json
import logging
import shutil
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import GenerationConfig, LogitsProcessorList, NoRepeatNGramLogitsProcessor
from transformers.utils import logging as transformers_logging

from tasks.errors import InputError
from tasks.modeling import generation
from tasks.modeling.generation import generate, generate_again
from tasks.modeling.happy import TunableGeneration
from tasks.modeling.logits_processors import (
    BadWordsProcessor,
    EndOfTextFallback,
    NoRepeatNGramProcessor,
    SeededSampler,
    sampling_processors,
)
from tasks.parameters import SamplingParameters
from tests.factories.models import record_generate

PROMPTS = ("we", "you can make a cheese sandwich , " * 5, "anyone can build")

PROBABILITIES = torch.tensor([0.30, 0.25, 0.0, 0.20, 0.12, 0.08, 0.05])
NO_IDS: Any = torch.zeros(1, 0, dtype=torch.long)
DRAWS = 10_000
CRITICAL = {2: 13.82, 3: 16.27, 4: 18.47, 5: 20.52, 35: 66.62}
"""Chi-square that one exact draw in a thousand exceeds, by degrees of freedom."""


def scores_for(rows: int) -> Any:
    return PROBABILITIES.log().expand(rows, -1)


def drawn(processors: Any, rows: int) -> torch.Tensor:
    found: torch.Tensor = processors(NO_IDS, scores_for(rows)).argmax(dim=-1)
    return found


def chi_square(counts: torch.Tensor, expected: torch.Tensor) -> tuple[float, int]:
    """The statistic and its degrees of freedom; what has no probability must not have been drawn."""
    assert not counts[expected == 0].any()
    counts, expected = counts[expected > 0], expected[expected > 0] * counts.sum()
    return float(((counts - expected) ** 2 / expected).sum()), len(expected) - 1


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, PROBABILITIES),
        ({"temperature": 0.5}, PROBABILITIES**2),
        ({"temperature": 3.0}, PROBABILITIES ** (1 / 3)),
        ({"top_k": 3}, PROBABILITIES * torch.tensor([1, 1, 0, 1, 0, 0, 0])),
        ({"top_p": 0.8}, PROBABILITIES * torch.tensor([1, 1, 0, 1, 1, 0, 0])),
        ({"temperature": 0.5, "top_k": 5, "top_p": 0.9}, PROBABILITIES**2 * torch.tensor([1, 1, 0, 1, 0, 0, 0])),
    ],
)
def test_tokens_are_drawn_as_often_as_they_are_likely(values: dict[str, Any], expected: torch.Tensor) -> None:
    sampling = SamplingParameters(**{"temperature": 1.0, "top_k": 0, "max_length": 1, "min_length": 0} | values)
    found = drawn(sampling_processors(sampling, range(DRAWS)), DRAWS)
    value, freedom = chi_square(torch.bincount(found, minlength=7), expected / expected.sum())
    assert value < CRITICAL[freedom]


def test_the_tokens_of_a_row_are_independent_draws() -> None:
    draw = SeededSampler(range(DRAWS), 2)
    pairs = drawn(draw, DRAWS) * 7 + drawn(draw, DRAWS)
    expected = PROBABILITIES[:, None] * PROBABILITIES[None, :]
    value, freedom = chi_square(torch.bincount(pairs, minlength=49), expected.flatten())
    assert value < CRITICAL[freedom]


@pytest.mark.parametrize(("number", "token"), [(0.0, 1), (1 - 2**-53, 2)])
def test_the_ends_of_the_unit_interval_never_draw_a_token_without_probability(number: float, token: int) -> None:
    draw = SeededSampler([0, 0], 1)
    draw._numbers[:] = number
    scores: Any = torch.tensor([[float("-inf"), 0.3, 0.1, float("-inf")], [float("-inf"), 60.0, 60.0, float("-inf")]])
    assert draw(NO_IDS, scores).argmax(dim=-1).tolist() == [token, token]


def test_a_row_draws_the_same_tokens_whatever_its_position_and_max_length() -> None:
    seeds = [2**62 + number for number in range(40)]
    together, alone = SeededSampler(seeds, 30), SeededSampler(seeds[17:18], 50)
    for _ in range(30):
        assert drawn(together, 40)[17] == drawn(alone, 1)[0]


def test_all_63_bits_of_a_seed_count() -> None:
    draw = SeededSampler([7 + (number << 32) for number in range(50)], 1)
    assert len(set(drawn(draw, 50).tolist())) > 3


def test_temperature_top_k_and_top_p_are_those_of_hugging_face(neo: TunableGeneration) -> None:
    sampling = SamplingParameters(temperature=0.7, top_k=20, top_p=0.9)
    values = {name: getattr(sampling, name) for name in ("temperature", "top_k", "top_p")}
    theirs = neo.model._get_logits_processor(GenerationConfig(do_sample=True, **values))
    ours = LogitsProcessorList(sampling_processors(sampling, [0])[:-1])
    scores: Any = torch.randn(8, 320, generator=torch.Generator().manual_seed(0))
    assert torch.equal(ours(NO_IDS, scores), theirs(NO_IDS, scores))
    assert 1 < ours(NO_IDS, scores).isfinite().sum() < 8 * 20


@pytest.mark.parametrize("size", [1, 2, 3])
def test_no_repeat_ngram_is_hugging_faces_rule_per_row_without_padding(size: int) -> None:
    generator = torch.Generator().manual_seed(size)
    pads, end = [0, 1, 7, 39, 4], 3
    ids = torch.randint(0, 4, (5, 40), generator=generator)
    for row, left in enumerate(pads):
        ids[row, :left] = end
    scores: Any = torch.zeros(5, 4)
    found = NoRepeatNGramProcessor(size, pads)(ids, scores)  # type: ignore[arg-type]
    rule = NoRepeatNGramLogitsProcessor(size)
    wanted = [rule(ids[row : row + 1, left:], scores[:1])[0] for row, left in enumerate(pads)]
    assert torch.equal(found, torch.stack(wanted))
    assert found.isinf().any()
    assert not scores.any()
    beyond = NoRepeatNGramProcessor(41, pads)(ids, scores)  # type: ignore[arg-type]
    assert torch.equal(beyond, scores)


def test_a_bad_word_forbids_exactly_the_tokens_that_complete_it_and_padding_is_not_text(neo: TunableGeneration) -> None:
    tokenizer, words = neo.tokenizer, ("a sand", "cc", " you ", "|end", "éa")
    texts = ["", "we make a", "we make a s", "c", "build c", "we can yo", "<|en", "é", "a san<|endoftext|>"]
    prompts = [tokenizer(text)["input_ids"] for text in texts]
    pads = [16 - len(ids) for ids in prompts]
    padded: Any = torch.tensor([[tokenizer.eos_token_id] * left + ids for left, ids in zip(pads, prompts, strict=True)])
    scores: Any = torch.zeros(len(texts), 330)
    found = BadWordsProcessor(words, tokenizer, pads)(padded, scores)
    for row, ids in enumerate(prompts):
        after = [tokenizer.decode([*ids, token], skip_special_tokens=True) for token in range(len(tokenizer))]
        wanted = [any(word.strip() in text for word in words) for text in after]
        assert found[row].isinf().tolist() == wanted + [False] * (330 - len(tokenizer))
        assert found[row, tokenizer.eos_token_id] == 0
    pad_is_text: Any = padded.masked_fill(padded == tokenizer.eos_token_id, tokenizer("c")["input_ids"][0])
    assert torch.equal(BadWordsProcessor(words, tokenizer, pads)(pad_is_text, scores)[:-1], found[:-1])


def test_if_every_token_is_forbidden_the_text_ends() -> None:
    scores: Any = torch.tensor([[0.5, float("-inf"), 1.0], [float("-inf")] * 3])
    left = EndOfTextFallback(1)(NO_IDS, scores)
    assert torch.equal(left[0], scores[0])
    assert left[1].argmax() == 1


def test_nan_scores_are_an_input_error() -> None:
    scores: Any = torch.tensor([[0.5, float("nan")]])
    with pytest.raises(InputError, match="NaN"):
        EndOfTextFallback(1)(NO_IDS, scores)


@pytest.fixture(params=["GPT-NEO", "GPT2"])
def generator(request: pytest.FixtureRequest, tmp_path: Path) -> TunableGeneration:
    """Either kind; GPT-Neo's local layers see 8 tokens only, fewer than a prompt of `PROMPTS` has."""
    folder = tmp_path / "model"
    shutil.copytree(request.getfixturevalue("neo_folder" if request.param == "GPT-NEO" else "gpt2_folder"), folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"window_size": 8}))
    return TunableGeneration(request.param, str(folder))


@pytest.mark.parametrize("values", [{}, {"top_k": 0, "temperature": 1.5, "bad_words": ("a",)}, {"num_beams": 2}])
def test_a_batch_gives_the_samples_of_single_calls(generator: TunableGeneration, values: dict[str, Any]) -> None:
    sampling = SamplingParameters(num_samples=4, max_length=16, no_repeat_ngram_size=2, **values)
    with record_generate(generator) as calls:
        samples = generate(generator, PROMPTS, sampling)
    assert [len(call[0]["input_ids"]) for call in calls] == ([1] * 12 if sampling.num_beams > 1 else [12])
    assert [sample.prompt for sample in samples] == [prompt for prompt in PROMPTS for _ in range(4)]
    assert len({sample.text for sample in samples}) > 8
    assert samples == [generate_again(generator, sample.prompt, sample.seed, sampling) for sample in samples]


@pytest.mark.parametrize("limit", ["MAX_BATCH_ROWS", "MAX_BATCH_TOKENS"])
def test_large_batches_are_split_and_the_samples_stay_the_same(
    neo: TunableGeneration, limit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sampling = SamplingParameters(num_samples=5, max_length=10)
    whole = generate(neo, PROMPTS, sampling)
    monkeypatch.setattr(generation, limit, {"MAX_BATCH_ROWS": 4, "MAX_BATCH_TOKENS": 100}[limit])
    with record_generate(neo) as calls:
        assert generate(neo, PROMPTS, sampling) == whole
    shapes = [call[0]["input_ids"].shape for call in calls]
    assert sum(rows for rows, _ in shapes) == 15
    assert max(rows for rows, _ in shapes) < 10
    assert all(rows <= 4 for rows, _ in shapes) or all(rows * (width + 10) <= 100 for rows, width in shapes)


def test_padded_prompts_get_the_same_text_as_unpadded_ones(generator: TunableGeneration) -> None:
    sampling = SamplingParameters(do_sample=False, num_samples=1, max_length=30, min_length=30)
    for sample in generate(generator, PROMPTS, sampling):
        ids = generator.tokenizer(sample.prompt)["input_ids"]
        for _ in range(30):
            with torch.no_grad():
                scores = generator.model(torch.tensor([ids]), use_cache=False).logits[0, -1]
            scores[generator.tokenizer.eos_token_id] = float("-inf")
            ids.append(int(scores.argmax()))
        assert sample.document == generator.tokenizer.decode(ids)


def test_the_padding_of_the_tokenizer_has_no_effect_and_is_not_changed(neo: TunableGeneration) -> None:
    sampling = SamplingParameters(num_samples=2, max_length=10)
    usual = generate(neo, PROMPTS, sampling)
    neo.tokenizer.padding_side, neo.tokenizer.pad_token = "right", None
    assert generate(neo, PROMPTS, sampling) == usual
    assert (neo.tokenizer.padding_side, neo.tokenizer.pad_token) == ("right", None)


@pytest.mark.parametrize("beams", [1, 3])
def test_without_random_sampling_each_prompt_is_generated_once(neo: TunableGeneration, beams: int) -> None:
    sampling = SamplingParameters(do_sample=False, num_beams=beams, num_samples=3)
    with record_generate(neo) as calls:
        samples = generate(neo, PROMPTS, sampling)
    assert sum(len(call[0]["input_ids"]) for call in calls) == len(PROMPTS)
    assert len({sample.seed for sample in samples}) == 9
    assert [sample.text for sample in samples[::3]] == [sample.text for sample in samples[2::3]]


@pytest.mark.parametrize("values", [{}, {"num_beams": 2}, {"do_sample": False}, {"do_sample": False, "num_beams": 2}])
def test_generation_leaves_the_random_state_and_logs_nothing(
    neo: TunableGeneration, values: dict[str, Any], caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """Not even a prompt that ends with a pad token is logged."""
    prompts, sampling = ("we<|endoftext|>", *PROMPTS), SamplingParameters(num_samples=2, max_length=5, **values)
    logger = logging.getLogger("transformers")
    logger.addHandler(caplog.handler)
    for name in ("warning_once", "info_once"):
        getattr(transformers_logging, name).cache_clear()
    before = torch.get_rng_state()
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        generate(neo, prompts, sampling)
    logger.removeHandler(caplog.handler)
    assert torch.equal(torch.get_rng_state(), before)
    assert [str(one.message) for one in warned] + caplog.messages == []
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("values", [{}, {"num_beams": 2}, {"do_sample": False}])
def test_the_generation_config_of_the_model_has_no_effect(neo: TunableGeneration, values: dict[str, Any]) -> None:
    sampling = SamplingParameters(num_samples=2, max_length=20, **values)
    usual = generate(neo, PROMPTS, sampling)
    neo.model.generation_config.update(
        **{"temperature": 9.0, "top_k": 3, "repetition_penalty": 5.0, "num_beams": 4, "eos_token_id": 65},
        **{"do_sample": True, "suppress_tokens": list(range(60, 90)), "transformers_version": "4.57.6"},
    )
    assert generate(neo, PROMPTS, sampling) == usual


def test_an_empty_prompt_begins_a_document(neo: TunableGeneration) -> None:
    sampling = SamplingParameters(num_samples=2, max_length=8)
    nothing, end = generate(neo, [""], sampling), generate(neo, ["<|endoftext|>"], sampling)
    assert [one.text for one in nothing] == [one.text for one in end]
    assert [one.document for one in nothing] == [one.text for one in nothing]


def test_a_longer_text_begins_with_the_shorter_one(neo: TunableGeneration) -> None:
    short, long = (
        generate(neo, ["we"], SamplingParameters(max_length=length, min_length=length, num_samples=3))
        for length in (10, 30)
    )
    assert all(two.text.startswith(one.text.rstrip("\ufffd")) for one, two in zip(short, long, strict=True))


def test_a_damaged_model_is_an_input_error(neo: TunableGeneration) -> None:
    with torch.no_grad():
        neo.model.get_output_embeddings().weight.fill_(float("nan"))
    with pytest.raises(InputError, match="damaged"):
        generate(neo, ["we"], SamplingParameters())


def test_bad_words_that_forbid_every_token_end_the_text(neo: TunableGeneration) -> None:
    everything = tuple(bytes([number]).decode("latin-1") for number in range(33, 127))
    sampling = SamplingParameters(bad_words=everything, no_repeat_ngram_size=1, min_length=50, max_length=60)
    for sample in generate(neo, ["we", "you can"], sampling):
        assert not set(sample.text) & set(everything)


@pytest.mark.gpu
def test_a_gpu_draws_what_the_cpu_draws() -> None:
    scores: Any = torch.randn(64, 50_257, generator=torch.Generator().manual_seed(0)) * 4
    device = SeededSampler(range(64), 1)(NO_IDS, scores.cuda()).argmax(dim=-1)
    assert torch.equal(device.cpu(), SeededSampler(range(64), 1)(NO_IDS, scores).argmax(dim=-1))
