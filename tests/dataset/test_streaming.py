"""Memory is bounded by the limit that is set, not by the corpus."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

CORPUS_MB = 120
MEMORY_MB = 12

PROGRAM = """
import json, re, sys
from pathlib import Path
from tasks.dataset import prepare, read_documents
from tasks.parameters import CorpusParameters

def peak_mb():  # of this program alone; ru_maxrss begins with what the parent held
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1024

folder, order, memory = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
before = peak_mb()
counts = prepare(read_documents(folder / "own.txt"), folder / "out", CorpusParameters(order=order), memory=memory)
print(json.dumps([counts.kept, counts.duplicate, counts.train, peak_mb() - before]))
"""


def write_corpus(path: Path) -> int:
    """Lines of a kilobyte, each written twice, far apart; return how many differ."""
    distinct = CORPUS_MB * 500
    with path.open("w") as file:
        for _ in range(2):
            file.writelines(f"{number:08} {'lorem ipsum ' * 83}\n" for number in range(distinct))
    return distinct


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc: Linux only")
@pytest.mark.parametrize("order", ["shuffled", "sorted"])
def test_a_corpus_ten_times_larger_than_memory_goes_through(order: str, tmp_path: Path) -> None:
    distinct = write_corpus(tmp_path / "own.txt")
    (tmp_path / "out").mkdir()
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path), order, str(MEMORY_MB * 2**20)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    kept, duplicate, train, grown_mb = json.loads(done.stdout)
    assert (tmp_path / "own.txt").stat().st_size > 9 * MEMORY_MB * 2**20
    assert (kept, duplicate, train) == (distinct, distinct, distinct - 6000)
    assert grown_mb < 4 * MEMORY_MB
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["eval.jsonl", "train.jsonl"]
