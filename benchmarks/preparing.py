"""Corpus preparation beside its peers: all sentences of the example template, and text that does not fit into memory.

Command: `python benchmarks/preparing.py [--json] [--quick]`. It prints a table, or one JSON object with --json.
Template: all 48,600 sentences enumerated, deduplicated, shuffled, split and written as JSONL; the peer is what one
writes by hand (itertools.product, set, random.shuffle, json.dumps). Text: 10^7 lines, 37 % of them duplicates,
deduplicated, shuffled, split and written; the peers are dict.fromkeys with random.shuffle, pandas, and `sort -u` with
`shuf`.
Each side runs in a process of its own. `work` is the CPU time of the work alone, `process` that of the whole process
with its start-up and imports; the peak memory is that of the process. With --quick the figures say nothing about speed.
"""

import argparse
import itertools
import json
import os
import random
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from judging import Target, command_line, show
from measuring import ROOT, measure

TEMPLATE = ROOT / "data" / "templates" / "cheese.spintax"
DUPLICATES = 0.37

TARGETS: list[Target] = [
    ("template_work_cpu_s", "at most", 0.5),
    ("template_peak_mb", "at most", 100),
    ("text_peak_mb", "at most", 1000),
]


def main() -> None:
    """Run all sides and print the figures."""
    parser = command_line("Corpus preparation beside its peers.", quick="100,000 lines of text instead of 10,000,000")
    parser.add_argument("--part", nargs=3, metavar=("NAME", "SOURCE", "FOLDER"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        name, source, folder = options.part
        SIDES[name](Path(source), Path(folder))
        return
    show(run(10**5 if options.quick else 10**7), TARGETS, options)


def run(lines: int) -> dict[str, float]:
    """Run all sides in turn; return seconds, megabytes and documents of each, and the ratios of the peers to ours."""
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as scratch:
        text = Path(scratch) / "lines.txt"
        write_text(text, lines)
        for name in SIDES:
            with tempfile.TemporaryDirectory(dir=scratch) as folder:
                source = text if name.startswith("text") else TEMPLATE
                measured = measure([sys.executable, __file__, "--part", name, str(source), folder])
                figures |= {
                    f"{name}_work_cpu_s": measured.result,
                    f"{name}_process_cpu_s": measured.cpu_s,
                    f"{name}_wall_s": measured.wall_s,
                    f"{name}_peak_mb": measured.peak_bytes / 1e6,
                    f"{name}_documents": sum(count_lines(path) for path in Path(folder).glob("*.jsonl")),
                }
    peers = [(name, name.partition("_")[0]) for name in SIDES if "_" in name]
    ratios = {f"{name}_times_ours": figures[f"{name}_work_cpu_s"] / figures[f"{us}_work_cpu_s"] for name, us in peers}
    return figures | ratios


def write_text(path: Path, lines: int) -> None:
    """Write lines of about 95 characters; the duplicates are spread over the whole file."""
    distinct = round(lines * (1 - DUPLICATES))
    words = ["the", "quick", "study", "shows", "that", "every", "honest", "corpus", "holds", "more", "duplicates"]
    stem = [" ".join(random.Random(number).choices(words, k=15)) for number in range(1000)]
    with path.open("w", encoding="utf-8") as file:
        for begin in range(0, lines, 10_000):
            numbers = (number * 7_919 % lines % distinct for number in range(begin, min(begin + 10_000, lines)))
            file.writelines(f"{stem[number % 1000]} {number}\n" for number in numbers)


@contextmanager
def working() -> Iterator[None]:
    """Print the CPU seconds of the block and of its child processes."""
    began = sum(os.times()[:4])
    yield
    print(sum(os.times()[:4]) - began)


def prepare_template(template: Path, folder: Path) -> None:
    """Spinneret."""
    from tasks.dataset import prepare
    from tasks.parameters import CorpusParameters
    from tasks.spintax import read_templates

    with working():
        prepare(itertools.chain.from_iterable(read_templates(template)), folder, CorpusParameters())


def prepare_template_by_hand(template: Path, folder: Path) -> None:
    """itertools.product, set and random.shuffle."""
    with working():
        parts = re.split(r"[{}]", template.read_text(encoding="utf-8").rstrip("\n"))
        documents = list({"".join(choice) for choice in itertools.product(*(part.split("|") for part in parts))})
        _shuffle_split_write(documents, folder)


def prepare_text(source: Path, folder: Path) -> None:
    """Spinneret."""
    from tasks.dataset import prepare, read_documents
    from tasks.parameters import CorpusParameters

    with working():
        prepare(read_documents(source), folder, CorpusParameters())


def prepare_text_by_hand(source: Path, folder: Path) -> None:
    """dict.fromkeys and random.shuffle."""
    with working(), source.open(encoding="utf-8", newline="\n") as file:
        documents = list(dict.fromkeys(line.removesuffix("\n") for line in file))
        _shuffle_split_write(documents, folder)


def prepare_text_with_pandas(source: Path, folder: Path) -> None:
    """drop_duplicates, sample and to_json."""
    import pandas

    with working():
        frame = pandas.DataFrame({"text": source.read_text(encoding="utf-8").removesuffix("\n").split("\n")})
        frame = frame.drop_duplicates().sample(frac=1, random_state=0)
        held_out = min(len(frame) // 10, 10_000)
        frame[:held_out].to_json(folder / "eval.jsonl", orient="records", lines=True, force_ascii=False)
        frame[held_out:].to_json(folder / "train.jsonl", orient="records", lines=True, force_ascii=False)


def prepare_text_with_coreutils(source: Path, folder: Path) -> None:
    """Sort -u and shuf; they write text, not JSON."""
    unique, shuffled = folder / "unique", folder / "shuffled"
    environment = {"LC_ALL": "C", "PATH": "/usr/bin:/bin", "TMPDIR": str(folder)}
    with working():
        subprocess.run(["sort", "-u", str(source), "-o", str(unique)], env=environment, check=True)
        subprocess.run(["shuf", str(unique), "-o", str(shuffled)], env=environment, check=True)
        held_out = min(count_lines(shuffled) // 10, 10_000)
        with shuffled.open("rb") as file:
            (folder / "eval.jsonl").write_bytes(b"".join(itertools.islice(file, held_out)))
            with (folder / "train.jsonl").open("wb") as train:
                train.writelines(file)


def _shuffle_split_write(documents: list[str], folder: Path) -> None:
    random.Random(0).shuffle(documents)
    held_out = min(len(documents) // 10, 10_000)
    _write(folder / "eval.jsonl", documents[:held_out])
    _write(folder / "train.jsonl", itertools.islice(documents, held_out, None))


def _write(path: Path, documents: Iterable[str]) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps({"text": document}, ensure_ascii=False) + "\n" for document in documents)


def count_lines(path: Path) -> int:
    """Return the number of line ends in a file."""
    with path.open("rb") as file:
        return sum(block.count(b"\n") for block in iter(lambda: file.read(2**20), b""))


SIDES = {
    "template": prepare_template,
    "template_by_hand": prepare_template_by_hand,
    "text": prepare_text,
    "text_by_hand": prepare_text_by_hand,
    "text_pandas": prepare_text_with_pandas,
    "text_coreutils": prepare_text_with_coreutils,
}

if __name__ == "__main__":
    main()
