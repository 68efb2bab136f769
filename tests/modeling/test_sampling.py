"""Each sampling parameter has its effect, and a sample can be reproduced from its seed."""

from itertools import pairwise
from typing import Any

import pytest
import torch

from tasks.errors import InputError
from tasks.modeling.generation import Sample, generate, generate_again, generate_where_it_fits
from tasks.modeling.happy import TunableGeneration
from tasks.parameters import SamplingParameters
from tests.factories.models import SENTENCE, SHAPE, Call, record_generate

PROMPT = "you can"
REST = SENTENCE.removeprefix(PROMPT)


def write(generator: TunableGeneration, **values: Any) -> tuple[list[Sample], list[Call]]:
    with record_generate(generator) as calls:
        samples = generate(generator, [PROMPT], SamplingParameters(prompts=(PROMPT,), **{"num_samples": 1} | values))
    return samples, calls


def greedy(generator: TunableGeneration, **values: Any) -> list[int]:
    return write(generator, **{"do_sample": False} | values)[1][0][1]


@pytest.mark.parametrize(
    ("name", "value", "argument"),
    [
        ("min_length", 3, "min_new_tokens"),
        ("max_length", 9, "max_new_tokens"),
        ("do_sample", False, "do_sample"),
        ("early_stopping", True, "early_stopping"),
        ("num_beams", 3, "num_beams"),
        ("temperature", 0.3, "temperature"),
        ("top_k", 2, "top_k"),
        ("top_p", 0.4, "top_p"),
    ],
)
def test_each_parameter_reaches_the_beam_search(neo: TunableGeneration, name: str, value: Any, argument: str) -> None:
    """Without beams our own processors sample: see `test_logits_processors.py`."""
    usual, unusual = (write(neo, **{"num_beams": 2} | values)[1][0][0] for values in ({}, {name: value}))
    assert getattr(unusual["generation_config"], argument) == value
    expected = 2 if name == "num_beams" else getattr(SamplingParameters(), name)
    assert getattr(usual["generation_config"], argument) == expected


def test_max_length_does_not_count_the_prompt(neo: TunableGeneration) -> None:
    ids = greedy(neo, min_length=7, max_length=7)
    assert len(ids) == 7


def test_min_length_keeps_the_model_from_ending(learned: TunableGeneration) -> None:
    end = learned.tokenizer.eos_token_id
    assert len(greedy(learned, min_length=1)) < 25
    assert end not in greedy(learned, min_length=40, max_length=45)[:40]


def test_without_do_sample_the_likeliest_token_is_used_whatever_the_seed(neo: TunableGeneration) -> None:
    assert greedy(neo, seed=1) == greedy(neo, seed=2)
    ids = neo.tokenizer(PROMPT)["input_ids"]
    with torch.no_grad():
        likeliest = int(neo.model(torch.tensor([ids])).logits[0, -1].argmax())
    assert greedy(neo, seed=1)[0] == likeliest


@pytest.mark.parametrize("narrow", [{"top_k": 1}, {"top_k": 0, "top_p": 1e-6}, {"top_k": 0, "temperature": 1e-4}])
def test_sampling_from_a_single_token_is_greedy(neo: TunableGeneration, narrow: dict[str, Any]) -> None:
    assert write(neo, **narrow)[1][0][1] == greedy(neo)
    assert write(neo, top_k=0, temperature=2)[1][0][1] != greedy(neo)


def test_no_ngram_occurs_twice(neo: TunableGeneration) -> None:
    assert repeated_pairs(greedy(neo))  # without the limit it does
    assert not repeated_pairs(greedy(neo, no_repeat_ngram_size=2))


def test_beams_find_text_that_is_likelier_than_the_greedy_one(neo: TunableGeneration) -> None:
    values = {"min_length": 12, "max_length": 12}
    assert log_probability(neo, greedy(neo, num_beams=4, **values)) > log_probability(neo, greedy(neo, **values))


@pytest.mark.parametrize("word", ["make", "cheese", "andwic", "h , w", "sandwich ,"])
def test_bad_words_are_never_written_however_they_could_be_spelled(learned: TunableGeneration, word: str) -> None:
    assert word in write(learned, do_sample=False)[0][0].text
    samples, _ = write(learned, bad_words=(word, "zebra"), num_samples=5, top_k=0, temperature=1.5)
    samples += write(learned, bad_words=(word,), do_sample=False)[0]
    samples += write(learned, bad_words=(word,), num_beams=3)[0]
    assert not [sample.text for sample in samples if word in sample.text]


def test_a_bad_word_is_not_written_after_a_prompt_that_ends_with_a_space(learned: TunableGeneration) -> None:
    sampling = SamplingParameters(prompts=("you can ",), bad_words=("make", "a"), num_samples=5, temperature=2, top_k=0)
    assert not [sample for sample in generate(learned, sampling.prompts, sampling) if "a" in sample.text]


def test_bad_words_of_one_call_do_not_affect_the_next(learned: TunableGeneration) -> None:
    write(learned, bad_words=("make",), do_sample=False)
    assert write(learned, do_sample=False)[0][0].text == REST


def test_the_text_is_decoded_verbatim(learned: TunableGeneration) -> None:
    assert learned.tokenizer.clean_up_tokenization_spaces  # it would write "sandwich, with cheese."
    sample = write(learned, do_sample=False)[0][0]
    assert (sample.text, sample.document) == (REST, SENTENCE)
    (sample,) = generate(learned, ["we , you"], SamplingParameters(num_samples=1, max_length=1))
    assert sample.document == "we , you" + sample.text


def test_the_model_has_learned_to_end(learned: TunableGeneration) -> None:
    assert greedy(learned)[-1] == learned.tokenizer.eos_token_id


def test_the_same_seed_gives_the_same_text_and_another_seed_another_text(neo: TunableGeneration) -> None:
    torch.manual_seed(1)
    first = write(neo, seed=3, num_samples=2)[0]
    torch.manual_seed(2)
    assert write(neo, seed=3, num_samples=2)[0] == first
    assert first[0].text != first[1].text
    assert not {sample.text for sample in first} & {sample.text for sample in write(neo, seed=4, num_samples=2)[0]}


def test_a_sample_can_be_reproduced_alone_from_its_seed(neo: TunableGeneration) -> None:
    sampling = SamplingParameters(prompts=("we", PROMPT), num_samples=3)
    last = generate(neo, sampling.prompts, sampling)[-1]
    assert generate_again(neo, last.prompt, last.seed, sampling) == last


def test_more_samples_or_prompts_do_not_change_the_others(neo: TunableGeneration) -> None:
    few = SamplingParameters(prompts=("we",), num_samples=2)
    many = SamplingParameters(prompts=("we", PROMPT), num_samples=3)
    assert generate(neo, many.prompts, many)[:2] == generate(neo, few.prompts, few)


def test_samples_are_generated_in_eval_mode(gpt2: TunableGeneration) -> None:
    texts = {write(gpt2, do_sample=False)[0][0].text}
    for _ in range(3):
        gpt2.model.train()
        texts.add(write(gpt2, do_sample=False)[0][0].text)
    assert len(texts) == 1
    assert not gpt2.model.training


def test_a_prompt_too_long_for_the_context_is_an_input_error_before_any_sampling(neo: TunableGeneration) -> None:
    long = "you can " * 60
    tokens = len(neo.tokenizer(long)["input_ids"])
    assert tokens < SHAPE.positions
    sampling = SamplingParameters(prompts=(PROMPT, long), max_length=SHAPE.positions - tokens + 1)
    with record_generate(neo) as calls, pytest.raises(InputError, match=r"--sampling\.max-length"):
        generate(neo, sampling.prompts, sampling)
    assert calls == []
    sampling = sampling.model_copy(update={"max_length": SHAPE.positions - tokens, "num_samples": 1})
    assert len(generate(neo, sampling.prompts, sampling)) == 2


def repeated_pairs(ids: list[int]) -> bool:
    pairs = list(pairwise(ids))
    return len(set(pairs)) < len(pairs)


def log_probability(generator: TunableGeneration, written: list[int]) -> float:
    prompt = generator.tokenizer(PROMPT)["input_ids"]
    with torch.no_grad():
        logits = generator.model(torch.tensor([prompt + written])).logits[0, len(prompt) - 1 : -1]
    return float(torch.log_softmax(logits, dim=-1).gather(1, torch.tensor(written)[:, None]).sum())


def test_a_prompt_that_is_too_long_does_not_change_the_samples_of_the_others(neo: TunableGeneration) -> None:
    long, sampling = "you can " * 200, SamplingParameters(num_samples=2, max_length=4)
    written = generate_where_it_fits(neo, [PROMPT, long, "we"], sampling)
    assert [(one.prompt, bool(one.text)) for one in written] == [
        (PROMPT, True), (PROMPT, True), (long, False), (long, False), ("we", True), ("we", True),
    ]  # fmt: skip
    assert written[:2] == generate(neo, [PROMPT], sampling)
    assert written[4] == generate_again(neo, "we", written[4].seed, sampling)
    with pytest.raises(InputError, match="more than the 128 tokens"):
        generate_where_it_fits(neo, [long], sampling)
