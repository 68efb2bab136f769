"""How fast templates are expanded, beside other libraries, on one machine and in one run.

Command: `python benchmarks/enumerating.py [--json] [--quick]`. It prints a table, or one JSON object with --json.
Every side (Spinneret and each peer) runs in a child process of its own, in turns with the others. The best round
counts, since other work on the machine can only slow a round down. Rates are strings per CPU second of the expansion
itself, without start-up. The peers are `pip install spintax-core pyspinner`; a peer that is not installed is left out
together with its target. With --quick the figures say nothing about speed.
"""

import json
import sys
import tempfile
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from judging import Target, command_line, show
from measuring import ROOT, Measured, measure, take_turns

SEED = (ROOT / "data" / "templates" / "cheese.spintax").read_text().strip()
DIGITS = "{0|1|2|3|4|5|6|7|8|9}"
SENTENCE = "number " + "{} of the sentences that say how to build a basic cheese sandwich by tucking in cheese"
PEERS = {"spintax_core": "spintax_core", "pyspinner": "spinning"}
"""Each peer and the module that it needs."""

SIDES = """
import itertools, json, re, sys, time

class Sink:
    size = writes = 0
    def write(self, data):
        self.size += len(data)
        self.writes += 1

def enumerate_seed(text, times):
    from tasks.spintax import Template
    return lambda: sum(Template.parse(text).enumerate_to(Sink()) for _ in range(times))

def product(text, times):
    def spin():
        number, sink = 0, Sink()
        for choice in itertools.product(*[part.split("|") for part in re.split("[{}]", text)]):
            sink.write(("".join(choice) + "\\n").encode())
            number += 1
        return number
    return lambda: sum(spin() for _ in range(times))

def draw(text, number):
    from tasks.spintax import Template
    return lambda: sum(1 for _ in Template.parse(text).draw(number, 0))

def spintax_core(text, number):
    import spintax_core as peer
    ast, rng = peer.parse(text), peer.make_rng(0)
    return lambda: sum(1 for _ in range(number) if peer.render_with(ast, rng, post_process=False))

def pyspinner(text, number):
    import spinning as peer
    return lambda: sum(1 for _ in range(number) if peer.unique(text))

def to_file(text, path):
    from tasks.spintax import Template
    def spin():
        with open(path, "wb", buffering=0) as file:
            return Template.parse(text).enumerate_to(file)
    return spin

def count_writes(text, _):
    from tasks.spintax import Template
    sink = Sink()
    Template.parse(text).enumerate_to(sink)
    return lambda: [sink.size, sink.writes]

def floor(size_and_writes, path):
    size, writes = json.loads(size_and_writes)
    block = b"x" * (size // writes)
    def spin():
        with open(path, "wb", buffering=0) as file:
            for _ in range(size // len(block)):
                file.write(block)
            file.write(block[: size % len(block)])
        return size
    return spin

side, text, other = sys.argv[1:]
work = globals()[side](text, int(other) if other.isdigit() else other)
cpu, wall = time.process_time(), time.monotonic()
done = work()
print(json.dumps([done, time.process_time() - cpu, time.monotonic() - wall]))
"""


class Sizes(NamedTuple):
    """How many strings each side makes, and how often."""

    times: int
    product_times: int
    peers: int
    digits: int
    draws: int
    rounds: int


FULL = Sizes(times=200, product_times=20, peers=20_000, digits=7, draws=1_000_000, rounds=5)
QUICK = Sizes(times=1, product_times=1, peers=50, digits=4, draws=6_000, rounds=1)


class Best(NamedTuple):
    """The best of several runs: number of strings, seconds of the work itself and of the whole process."""

    done: int
    cpu_s: float
    wall_s: float
    process_cpu_s: float
    peak_bytes: int

    @property
    def rate(self) -> float:
        """Strings per CPU second."""
        return self.done / self.cpu_s


TARGETS: list[Target] = [
    ("seed_times_spintax_core", "at least", 1000),
    ("seed_times_product", "at least", 8),
    ("file_times_floor", "at most", 1.3),
    ("file_peak_mb", "at most", 150),
    ("draw_process_cpu_s", "at most", 4),
]


def main() -> None:
    """Run all parts and print the figures."""
    options = command_line("How fast templates are expanded.", quick="make few strings").parse_args()
    sizes = QUICK if options.quick else FULL
    figures = {**enumerating(sizes), **writing(sizes), **drawing(sizes)}
    show(figures, TARGETS, options)


def enumerating(sizes: Sizes) -> dict[str, float]:
    """Enumerate all variants of the example template into a sink that counts bytes."""
    sides = {"enumerate_seed": (SEED, sizes.times), "product": (SEED, sizes.product_times)}
    best = run({**sides, **dict.fromkeys(peers(), (SEED, sizes.peers))}, sizes.rounds)
    ours = best.pop("enumerate_seed").rate
    figures = {"seed_ours_strings_per_cpu_s": ours}
    figures |= {f"seed_{side}_strings_per_cpu_s": found.rate for side, found in best.items()}
    return figures | {f"seed_times_{side}": ours / found.rate for side, found in best.items()}


def writing(sizes: Sizes) -> dict[str, float]:
    """Write 10**`digits` variants to a file, beside as many bytes in blocks of the same size."""
    text = SENTENCE.format(DIGITS * sizes.digits)
    shared_memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shared_memory if shared_memory.is_dir() else None) as folder:
        path = str(Path(folder) / "variants.txt")
        [size, writes], *_ = measure(command("count_writes", text, 0)).result
        best = run({"to_file": (text, path), "floor": (json.dumps([size, writes]), path)}, sizes.rounds)
    ours, floor = best["to_file"], best["floor"]
    return {
        "file_lines": ours.done,
        "file_bytes": size,
        "file_block_bytes": size / writes,
        "file_gb_per_s": size / ours.wall_s / 1e9,
        "file_floor_gb_per_s": size / floor.wall_s / 1e9,
        "file_times_floor": ours.wall_s / floor.wall_s,
        "file_peak_mb": ours.peak_bytes / 1e6,
    }


def drawing(sizes: Sizes) -> dict[str, float]:
    """Draw distinct variants out of 10^30; the peers draw with replacement."""
    best = run({"draw": (DIGITS * 30, sizes.draws)} | dict.fromkeys(peers(), (DIGITS * 30, sizes.peers)), sizes.rounds)
    ours = best.pop("draw")
    figures = {"draw_ours_strings_per_cpu_s": ours.rate}
    figures |= {f"draw_{side}_strings_per_cpu_s": found.rate for side, found in best.items()}
    ratios = {f"draw_times_{side}": ours.rate / found.rate for side, found in best.items()}
    return figures | ratios | {"draw_number": ours.done, "draw_process_cpu_s": ours.process_cpu_s}


def peers() -> list[str]:
    """Return the peers that are installed."""
    return [side for side, module in PEERS.items() if find_spec(module)]


def run(sides: Mapping[str, tuple[str, int | str]], rounds: int) -> dict[str, Best]:
    """Run the sides in turns and return the best of each."""
    runs = take_turns({side: command(side, *given) for side, given in sides.items()}, rounds)
    return {side: best_of(measured) for side, measured in runs.items()}


def command(side: str, text: str, other: int | str) -> list[str]:
    """Return the command that runs one side."""
    return [sys.executable, "-c", SIDES, side, text, str(other)]


def best_of(runs: list[Measured]) -> Best:
    """Return the least of each cost."""
    inner = [measured.result for measured in runs]
    return Best(
        done=inner[0][0],
        cpu_s=min(cpu_s for _, cpu_s, _ in inner),
        wall_s=min(wall_s for _, _, wall_s in inner),
        process_cpu_s=min(measured.cpu_s for measured in runs),
        peak_bytes=max(measured.peak_bytes for measured in runs),
    )


if __name__ == "__main__":
    main()
