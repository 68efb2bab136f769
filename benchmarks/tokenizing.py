"""Tokenizing and packing beside Happy Transformer's preprocessing and the bare tokenizer, and how memory grows.

Command: `python benchmarks/tokenizing.py [--json] [--quick]`. It prints a table, or one JSON object with --json.
The corpus is all 48,600 sentences of the example template, the tokenizer is trained on them (vocabulary 512), blocks
have 128 tokens. Every side runs in a process of its own, in turns with the others, with the tokenizer's default
parallelism, and the best round counts. Seconds are those of the work, without start-up and imports:

* ours: texts in memory to packed blocks; reading the corpus file and writing the blocks as JSON are timed separately.
* bare: `encode_batch_fast` (and `encode_batch`) on the same texts, a thousand per call; the ids are not even fetched.
* stage: the stage of a run, from the corpus file to the JSON files and their digests.
* happy: the text file through `load_dataset` and `tok_text_gen_mlm`, as Happy Transformer does before it trains.

Memory is the peak of the whole process that runs the stage, on the corpus and on one eight times as large.
With --quick the figures say nothing about speed.
"""

import argparse
import itertools
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from judging import Target, command_line, show
from measuring import ROOT, Measured, measure, take_turns

TEMPLATE = ROOT / "data" / "templates" / "cheese.spintax"
BLOCK, VOCABULARY, BATCH, TIMES = 128, 512, 1000, 8
Figures = dict[str, float]


class Best(NamedTuple):
    """The best of several runs of a side: seconds of each timed part, CPU seconds of the work, peak memory."""

    seconds: Figures
    cpu_s: float
    peak_bytes: int


TARGETS: list[Target] = [
    ("happy_times_ours_with_reading", "at least", 3),
    ("ours_times_bare", "at most", 1.3),
    ("stage_peak_growth", "at most", 1.1),
]


def main() -> None:
    """Run all sides and print the figures."""
    parser = command_line("Tokenizing and packing beside their peers.", quick="take few sentences")
    parser.add_argument("--part", nargs=2, metavar=("NAME", "FOLDER"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        name, folder = options.part
        print(json.dumps(SIDES[name](Path(folder))))
        return
    figures = run(2_000 if options.quick else None, rounds=1 if options.quick else 3)
    show(figures, TARGETS, options, digits=3)


def run(documents: int | None, *, rounds: int) -> Figures:
    """Run all sides in turns on the corpus, then the stage on the large one."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    with tempfile.TemporaryDirectory() as scratch:
        small, large = Path(scratch) / "once", Path(scratch) / "often"
        counts = write_corpora(small, large, documents)
        sides = {name: command(name, small) for name in SIDES}
        best = {name: best_of(runs) for name, runs in take_turns(sides, rounds).items()}
        often = best_of([measure(command("stage", large))])
    return {**counts, **speeds(best, counts["tokens"]), **memory(best["stage"], often)}


def speeds(best: dict[str, Best], tokens: float) -> Figures:
    """Return seconds, tokens per second and ratios."""
    seconds = {f"{side}_{name}_s": value for side, found in best.items() for name, value in found.seconds.items()}
    ours = seconds["ours_work_s"]
    with_reading = ours + seconds["ours_reading_s"]
    rates = {f"{side}_tokens_per_s": tokens / found.seconds["work"] for side, found in best.items()}
    return {
        **seconds,
        **rates,
        "ours_times_bare": ours / seconds["bare_work_s"],
        "ours_times_bare_cpu": best["ours"].cpu_s / best["bare"].cpu_s,
        "ours_times_bare_encode_batch": ours / seconds["bare_encode_batch_work_s"],
        "ours_reading_packing_writing_times_bare": (with_reading + seconds["ours_writing_s"]) / seconds["bare_work_s"],
        "happy_times_ours_with_reading": seconds["happy_work_s"] / with_reading,
        "happy_times_ours_with_reading_cpu": best["happy"].cpu_s / best["ours"].cpu_s,
        "happy_times_stage": seconds["happy_work_s"] / seconds["stage_work_s"],
    }


def memory(once: Best, often: Best) -> Figures:
    """Return the peak memory of the stage on the corpus and on one eight times as large."""
    return {
        "stage_peak_mb": once.peak_bytes / 1e6,
        f"stage_peak_mb_{TIMES}_times_the_corpus": often.peak_bytes / 1e6,
        "stage_peak_growth": often.peak_bytes / once.peak_bytes,
    }


def command(side: str, folder: Path) -> list[str]:
    """Return the command that runs one side."""
    return [sys.executable, __file__, "--part", side, str(folder)]


def best_of(runs: list[Measured]) -> Best:
    """Return the least of each cost; a child prints its seconds by name, and the CPU seconds of its work as `cpu`."""
    inner: list[Figures] = [measured.result for measured in runs]
    least = {name: min(figures[name] for figures in inner) for name in inner[0]}
    return Best(least, least.pop("cpu"), max(measured.peak_bytes for measured in runs))


def write_corpora(small: Path, large: Path, documents: int | None) -> Figures:
    """Write both corpora with their tokenizer; return the size of the small one."""
    from tasks.modeling.base_models import train_tokenizer
    from tasks.spintax import read_templates

    texts = list(itertools.islice(itertools.chain.from_iterable(read_templates(TEMPLATE)), documents))
    tokenizer = train_tokenizer(texts, vocabulary=VOCABULARY, positions=2048)
    many = (f"{text} {number}" for number in range(TIMES) for text in texts)
    for folder, some in ((small, texts), (large, many)):
        (folder / "corpus" / "key").mkdir(parents=True)
        tokenizer.save_pretrained(folder / "base")
        (folder / "base" / "config.json").write_text('{"model_type": "gpt_neo", "max_position_embeddings": 2048}')
        write_corpus(folder / "corpus" / "key", some)
    (small / "train.txt").write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")
    encoded = tokenizer.backend_tokenizer.encode_batch_fast(texts, add_special_tokens=False)
    return {"documents": len(texts), "tokens": sum(len(encoding.ids) + 1 for encoding in encoded)}


def write_corpus(folder: Path, texts: Iterable[str]) -> None:
    """Write the files of the corpus stage; the held-out part is small, so that all sides process the same texts."""
    from tasks.dataset import write_documents

    write_documents(folder / "train.jsonl", texts)
    write_documents(folder / "eval.jsonl", ["you can build a sandwich."])


def timed(work: Callable[[], object]) -> Figures:
    """Return the wall-clock seconds of `work`, and the CPU seconds of all its threads."""
    began, cpu = time.monotonic(), time.process_time()
    work()
    return {"work": time.monotonic() - began, "cpu": time.process_time() - cpu}


def ours(folder: Path) -> Figures:
    """Pack texts into blocks; reading and writing are timed separately."""
    from tasks.dataset import Header, TokenRun, write_blocks
    from tasks.modeling.tokenization import tokenize_batches

    texts, tokenizer = texts_of(folder), tokenizer_of(folder)
    with tempfile.TemporaryDirectory() as scratch, TokenRun(Path(scratch), eos_token_id=0) as run_of_ids:

        def pack() -> None:
            for ids, lengths in tokenize_batches(texts, tokenizer):
                run_of_ids.add(ids, lengths)
            for _ in run_of_ids.blocks(BLOCK):
                pass

        figures = timed(pack)
        blocks = list(run_of_ids.blocks(BLOCK))
        header = Header(block_size=BLOCK, eos_token_id=0, pad_token_id=0, tokens=run_of_ids.tokens)
        writing = timed(lambda: write_blocks(Path(scratch) / "train.json", blocks, header))
    return figures | {"reading": timed(lambda: texts_of(folder))["work"], "writing": writing["work"]}


def bare(folder: Path) -> Figures:
    """The tokenizer alone, with its faster call."""
    backend = tokenizer_of(folder).backend_tokenizer
    return encoding(folder, backend.encode_batch_fast)


def bare_encode_batch(folder: Path) -> Figures:
    """The tokenizer alone, with its older call, which keeps track of offsets."""
    backend = tokenizer_of(folder).backend_tokenizer
    return encoding(folder, backend.encode_batch)


def encoding(folder: Path, encode: Callable[..., Any]) -> Figures:
    """Time the tokenizer on all texts, a thousand per call."""
    texts = texts_of(folder)

    def work() -> None:
        for begin in range(0, len(texts), BATCH):
            encode(texts[begin : begin + BATCH], add_special_tokens=False)

    return timed(work)


def stage(folder: Path) -> Figures:
    """Time the stage as a run does it; its folder is removed afterwards."""
    os.environ["SPINNERET_DATA"] = str(folder)
    from tasks.parameters import TokenParameters, TrainingParameters
    from tasks.stage.references import Corpus, ModelReference
    from tasks.tokens import make_tokens

    counts = dict.fromkeys(("read", "documents", "duplicates", "empty", "train_documents", "eval_documents"), 0)
    corpus = Corpus(key="key", sha256="0", rejected={}, derivations=None, **counts)
    base = ModelReference(name="base", type="GPT-NEO", sha256="0", path=str(folder / "base"))
    for module in ("tokenization_auto", "configuration_auto"):
        import_module(f"transformers.models.auto.{module}")  # otherwise the stage would import it while it is timed
    figures = timed(lambda: make_tokens.fn(corpus, base, TokenParameters(block_size=BLOCK), TrainingParameters()))
    shutil.rmtree(folder / "tokens")
    return figures


def happy(folder: Path) -> Figures:
    """Time Happy Transformer's preprocessing, with an empty cache."""
    with tempfile.TemporaryDirectory() as cache:
        os.environ["HF_DATASETS_CACHE"] = cache
        import datasets
        from happytransformer import GENTrainArgs
        from happytransformer.fine_tuning_util import tok_text_gen_mlm

        datasets.disable_progress_bars()
        tokenizer = tokenizer_of(folder)

        def work() -> None:
            files = {"train": str(folder / "train.txt")}
            lines = datasets.load_dataset("text", data_files=files, split="train", cache_dir=cache)
            tok_text_gen_mlm(tokenizer, lines, GENTrainArgs(max_length=BLOCK), mlm=False)

        return timed(work)


def texts_of(folder: Path) -> list[str]:
    """Return all texts of the corpus, read as the stage reads them."""
    from tasks.dataset import read_jsonl_documents

    return list(read_jsonl_documents(folder / "corpus" / "key" / "train.jsonl"))


def tokenizer_of(folder: Path) -> Any:
    """Return the tokenizer of the corpus."""
    from tasks.modeling.tokenization import load_tokenizer

    return load_tokenizer(str(folder / "base"))


SIDES: dict[str, Callable[[Path], Figures]] = {
    "ours": ours,
    "bare": bare,
    "bare_encode_batch": bare_encode_batch,
    "stage": stage,
    "happy": happy,
}

if __name__ == "__main__":
    main()
