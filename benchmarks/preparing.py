"""Corpus preparation beside its peers: the seed's sentences, and own text that does not fit into memory.

Command: `python benchmarks/preparing.py [--json] [--quick]`.
Seed: all 48,600 sentences enumerated, deduplicated, shuffled, split and written as JSONL; the peer is what one writes
by hand (itertools.product, set, random.shuffle, json.dumps). Own text: 10^7 lines, 37 % of them duplicates,
deduplicated, shuffled, split and written; peers: `sort -u` with `shuf`, pandas, and dict.fromkeys with random.shuffle.
Each runs in a process of its own. CPU seconds are given of the work and of the whole process, its start-up and imports
too; the peak memory is that of the process.
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

from measuring import measure

ROOT = Path(__file__).resolve().parent.parent
TEMPLATE = ROOT / "data" / "templates" / "cheese.spintax"
DUPLICATES = 0.37
TARGETS = {"seed_cpu_s": 0.5, "seed_peak_mb": 100, "own_text_peak_mb": 1000}


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description="Corpus preparation beside its peers.")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    parser.add_argument("--quick", action="store_true", help="100,000 lines of own text instead of 10,000,000")
    parser.add_argument("--part", nargs=3, metavar=("NAME", "SOURCE", "FOLDER"), help=argparse.SUPPRESS)
    told = parser.parse_args()
    if told.part:
        name, source, folder = told.part
        PARTS[name](Path(source), Path(folder))
        return
    figures = run(10**5 if told.quick else 10**7)
    print(json.dumps(figures) if told.json else table(figures))


def run(lines: int) -> dict[str, object]:
    """All parts in turn: name → seconds, peak megabytes, documents written."""
    figures: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        source = Path(scratch) / "own.txt"
        write_own_text(source, lines)
        for name in PARTS:
            folder = Path(scratch) / name
            folder.mkdir()
            took = source if name.startswith("own_text") else TEMPLATE
            measured = measure([sys.executable, __file__, "--part", name, str(took), str(folder)], cwd=ROOT)
            written = sum(count_lines(path) for path in folder.glob("*.jsonl"))
            figures[name] = {
                "work_cpu_s": round(float(measured.output), 3),
                "process_cpu_s": round(measured.cpu_s, 3),
                "wall_s": round(measured.wall_s, 3),
                "peak_mb": round(measured.peak_bytes / 1e6, 1),
                "documents": written,
            }
            for path in folder.iterdir():
                path.unlink()
    reached = {
        "seed_cpu_s": figures["seed"]["work_cpu_s"],
        "seed_peak_mb": figures["seed"]["peak_mb"],
        "own_text_peak_mb": figures["own_text"]["peak_mb"],
    }
    targets = {
        name: {"wanted_below": TARGETS[name], "got": got, "met": got < TARGETS[name]} for name, got in reached.items()
    }
    return {"own_text_lines": lines, "figures": figures, "targets": targets}


def table(result: dict[str, object]) -> str:
    """The figures for people; ratios are peer to ours."""
    figures, targets = result["figures"], result["targets"]
    assert isinstance(figures, dict)
    assert isinstance(targets, dict)
    lines = [f"own text: {result['own_text_lines']:,} lines, {DUPLICATES:.0%} of them duplicates"]
    lines.append(
        f"{'CPU seconds':<20}{'work':>9}{'x ours':>8}{'process':>9}{'wall s':>9}{'peak MB':>9}{'documents':>12}"
    )
    for name, row in figures.items():
        ours = figures["own_text" if name.startswith("own_text") else "seed"]
        lines.append(
            f"{name:<20}{row['work_cpu_s']:>9.2f}{row['work_cpu_s'] / ours['work_cpu_s']:>8.2f}"
            f"{row['process_cpu_s']:>9.2f}{row['wall_s']:>9.2f}{row['peak_mb']:>9,.0f}{row['documents']:>12,}"
        )
    for name, target in targets.items():
        met = "met" if target["met"] else "MISSED"
        lines.append(f"{name:<20}{target['got']:>9.2f}, wanted below {target['wanted_below']}: {met}")
    return "\n".join(lines)


def write_own_text(path: Path, lines: int) -> None:
    """Lines of about 95 characters; the duplicates are strewn over the whole file."""
    distinct = round(lines * (1 - DUPLICATES))
    words = ["the", "quick", "study", "shows", "that", "every", "honest", "corpus", "holds", "more", "duplicates"]
    stem = [" ".join(random.Random(number).choices(words, k=15)) for number in range(1000)]
    with path.open("w", encoding="utf-8") as file:
        for begin in range(0, lines, 10_000):
            numbers = (number * 7_919 % lines % distinct for number in range(begin, min(begin + 10_000, lines)))
            file.writelines(f"{stem[number % 1000]} {number}\n" for number in numbers)


@contextmanager
def working() -> Iterator[None]:
    """Print the CPU seconds of the block, those of its child processes too."""
    began = sum(os.times()[:4])
    yield
    print(sum(os.times()[:4]) - began)


def prepare_seed(template: Path, folder: Path) -> None:
    """Our way."""
    from tasks.dataset import prepare
    from tasks.parameters import CorpusParameters
    from tasks.spintax import read_templates

    with working():
        prepare(itertools.chain.from_iterable(read_templates(template)), folder, CorpusParameters())


def prepare_seed_by_hand(template: Path, folder: Path) -> None:
    """What one writes by hand."""
    with working():
        parts = re.split(r"[{}]", template.read_text(encoding="utf-8").rstrip("\n"))
        documents = list({"".join(choice) for choice in itertools.product(*(part.split("|") for part in parts))})
        _shuffle_split_write(documents, folder)


def prepare_own_text(source: Path, folder: Path) -> None:
    """Our way."""
    from tasks.dataset import prepare, read_documents
    from tasks.parameters import CorpusParameters

    with working():
        prepare(read_documents(source), folder, CorpusParameters())


def prepare_own_text_by_hand(source: Path, folder: Path) -> None:
    """dict.fromkeys and random.shuffle."""
    with working(), source.open(encoding="utf-8", newline="\n") as file:
        documents = list(dict.fromkeys(line.removesuffix("\n") for line in file))
        _shuffle_split_write(documents, folder)


def prepare_own_text_with_pandas(source: Path, folder: Path) -> None:
    """drop_duplicates, sample and to_json."""
    import pandas

    with working():
        frame = pandas.DataFrame({"text": source.read_text(encoding="utf-8").removesuffix("\n").split("\n")})
        frame = frame.drop_duplicates().sample(frac=1, random_state=0)
        held_out = min(len(frame) // 10, 10_000)
        frame[:held_out].to_json(folder / "eval.jsonl", orient="records", lines=True, force_ascii=False)
        frame[held_out:].to_json(folder / "train.jsonl", orient="records", lines=True, force_ascii=False)


def prepare_own_text_with_coreutils(source: Path, folder: Path) -> None:
    """Sort -u and shuf; what is written is text, not JSON."""
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
    """Line ends in a file."""
    with path.open("rb") as file:
        return sum(block.count(b"\n") for block in _blocks(file.read))


def _blocks(read: object) -> Iterator[bytes]:
    assert callable(read)
    return iter(lambda: read(2**20), b"")


PARTS = {
    "seed": prepare_seed,
    "seed_by_hand": prepare_seed_by_hand,
    "own_text": prepare_own_text,
    "own_text_by_hand": prepare_own_text_by_hand,
    "own_text_pandas": prepare_own_text_with_pandas,
    "own_text_coreutils": prepare_own_text_with_coreutils,
}

if __name__ == "__main__":
    main()
