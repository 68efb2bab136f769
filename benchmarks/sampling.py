"""How fast a model writes samples: in one batch, beside one call per sample, on one machine and in one run.

Command: `python benchmarks/sampling.py [--json] [--quick]`. It prints a table, or one JSON object with --json.
The sides are Spinneret in one batch, in one batch with bad words, and one by one, and Happy Transformer's
`generate_text`, which can only write one by one. Spinneret and Happy Transformer run in child processes of their own,
in turns, and the best round counts. All write the same number of tokens (`min_length` = `max_length`) with the same
settings. A rate is per wall-clock second of the generation itself, after a short warm-up. The weights are random, which
costs as much as any others. With --quick the figures say nothing about speed.
"""

import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from judging import Target, command_line, show
from measuring import ROOT, Measured, measure, take_turns

TEMPLATE = ROOT / "data" / "templates" / "cheese.spintax"

BUILD = """
import sys
from tasks.modeling.base_models import SHAPES, build_from_scratch
preset, texts, folder = sys.argv[1:]
build_from_scratch(SHAPES[preset], open(texts).read().split("|"), folder, seed=0)
"""

SIDES = """
import json, logging, sys, time

PROMPTS = ("To make a cheese sandwich", "you can", "anyone can build a basic cheese sandwich", "we")
WORDS = ("mayonnaise", "ham", "cheddar", "butter", "ketchup", "tomato", "salt", "pickles")
DRAW = {"do_sample": True, "temperature": 0.8, "top_k": 5}

def theirs(folder):
    from happytransformer import GENSettings, HappyGeneration
    logging.disable(logging.WARNING)
    model = HappyGeneration(model_type="GPT-NEO", model_name=folder)
    def stock(samples, length):
        settings = GENSettings(min_length=length, max_length=length, **DRAW)
        return [model.generate_text(PROMPTS[index % 4], args=settings) for index in range(samples)]
    return {"stock": stock}

def ours(folder):
    from tasks.modeling import set_thread_defaults
    set_thread_defaults()
    from tasks.modeling.generation import generate, generate_again, sample_seed
    from tasks.modeling.happy import TunableGeneration
    from tasks.parameters import SamplingParameters
    model = TunableGeneration("GPT-NEO", folder)
    def parameters(samples, length, **values):
        return SamplingParameters(num_samples=samples // 4, min_length=length, max_length=length, **DRAW, **values)
    def batch(samples, length):
        return generate(model, PROMPTS, parameters(samples, length))
    def bad_words(samples, length):
        return generate(model, PROMPTS, parameters(samples, length, bad_words=WORDS))
    def one_by_one(samples, length):
        pairs = [(index % 4, index // 4) for index in range(samples)]
        sampling = parameters(samples, length)
        return [generate_again(model, PROMPTS[row], sample_seed(0, row, column), sampling) for row, column in pairs]
    return {"batch": batch, "bad_words": bad_words, "one_by_one": one_by_one}

who, folder, batched, alone, length = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:])
seconds = {}
for side, write in globals()[who](folder).items():
    samples = batched if side in ("batch", "bad_words") else alone
    write(4, 4)
    began = time.monotonic()
    assert len(write(samples, length)) == samples
    seconds[side] = (time.monotonic() - began) / samples
print(json.dumps(seconds))
"""
"""Each side prints its seconds per sample; the numbers of samples are multiples of 4."""


class Sizes(NamedTuple):
    """How many samples of one model are generated, and how often."""

    preset: str
    batch: int
    one_by_one: int
    length: int
    rounds: int


FULL = (
    Sizes("scratch-tiny", batch=64, one_by_one=64, length=50, rounds=3),
    Sizes("scratch-125m", batch=64, one_by_one=8, length=50, rounds=2),
)
QUICK = (Sizes("scratch-tiny", batch=8, one_by_one=4, length=10, rounds=1),)

TARGETS: list[Target] = [
    ("tiny_batch_times_stock", "at least", 10),
    ("tiny_batch_times_one_by_one", "at least", 10),
    ("tiny_batch_times_bad_words", "at most", 1.5),
    ("125m_batch_times_stock", "at least", 4),
    ("125m_batch_times_bad_words", "at most", 1.2),
]


def main() -> None:
    """Run all models and print the figures."""
    options = command_line("How fast a model writes samples.", quick="write few short samples").parse_args()
    figures: dict[str, float] = {}
    for sizes in QUICK if options.quick else FULL:
        figures |= sampling(sizes)
    show(figures, TARGETS, options)


def sampling(sizes: Sizes) -> dict[str, float]:
    """Return samples and tokens per second of each side, the ratios to the batch, and the peak memory of both."""
    shape = sizes.preset.removeprefix("scratch-")
    numbers = [str(number) for number in (sizes.batch, sizes.one_by_one, sizes.length)]
    with tempfile.TemporaryDirectory() as folder:
        base = str(Path(folder) / "model")
        measure([sys.executable, "-c", BUILD, sizes.preset, str(TEMPLATE), base])
        commands = {who: [sys.executable, "-c", SIDES, who, base, *numbers] for who in ("ours", "theirs")}
        runs = take_turns(commands, sizes.rounds)
    rates = {side: 1 / seconds for measured in runs.values() for side, seconds in least(measured).items()}
    figures = {f"{shape}_{side}_samples_per_s": rate for side, rate in rates.items()}
    figures |= {f"{shape}_{side}_tokens_per_s": rate * sizes.length for side, rate in rates.items()}
    figures |= {f"{shape}_batch_times_{side}": rates["batch"] / rate for side, rate in rates.items() if side != "batch"}
    peaks = {who: max(one.peak_bytes for one in measured) / 1e6 for who, measured in runs.items()}
    return figures | {f"{shape}_{who}_peak_mb": peak for who, peak in peaks.items()}


def least(runs: list[Measured]) -> dict[str, float]:
    """Return the least seconds per sample of each side."""
    seconds = [measured.result for measured in runs]
    return {side: min(one[side] for one in seconds) for side in seconds[0]}


if __name__ == "__main__":
    main()
