"""Release: weights, samples and parameters in, a version in the object store out; and back again.

What comes in: references to what the run made, and the parameters that made it. What it leaves: `data/release/<key>/`,
the folder that is published, and in the store an immutable version that the alias `latest` names. Fetched releases lie
in `data/releases/<version>/`, verified each time before they are used.
"""

import json
import os
import shutil
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import yaml
from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks.caching import retry_can_help
from tasks.corpus import templates_to_store
from tasks.evaluation.card import model_card
from tasks.folders import Facts, digest
from tasks.parameters import Group, ReleaseParameters
from tasks.references import Corpus, Package, Release, Samples, TokenBlocks, Weights
from tasks.samples import pair_up
from tasks.settings import settings

if TYPE_CHECKING:
    from tasks.storage.destination import Destination
    from tasks.storage.fetch import Fetched

VERSION = 1
ALIAS = "latest"
PUBLISHED = "published"
"""Sub-folder of a package that is published as it is."""


@task(
    name="check destination",
    cache_policy=NO_CACHE,
    persist_result=False,
    retries=2,
    retry_delay_seconds=[2, 5],
    retry_condition_fn=retry_can_help,
)
def check_destination(release: ReleaseParameters) -> None:
    """Find out before anything is spent whether the store is there and lets us in."""
    from tasks.storage.destination import open_store

    with open_store(_destination(release.destination)):
        print(f"release: will be published as {latest(release)}")


@task(
    name="publish release",
    cache_policy=NO_CACHE,
    persist_result=False,
    retries=3,
    retry_delay_seconds=[2, 10, 30],
    retry_condition_fn=retry_can_help,
    retry_jitter_factor=0.5,
)
def publish_release(  # noqa: PLR0913 a release is made of that many things
    *,
    corpus: Corpus,
    tokens: TokenBlocks,
    weights: Weights,
    before: Samples,
    after: Samples,
    parameters: dict[str, Group],
    release: ReleaseParameters,
) -> Release:
    """Put the release together and push it over S3; what the store has already is not sent again."""
    from tasks.storage.destination import open_store
    from tasks.storage.publish import publish

    package = make_package(
        corpus=corpus,
        tokens=tokens,
        weights=weights,
        before=before,
        after=after,
        parameters=parameters,
        release=release,
    )
    meta = {"loss": weights.loss_after, "corpus": corpus.sha256}
    with open_store(_destination(release.destination)) as store:
        published = publish(store, package.folder / PUBLISHED, release.name, (ALIAS,), meta=meta)
    made = Release(
        name=release.name,
        destination=release.destination,
        version=published.version,
        uri=f"{latest(release).rpartition('@')[0]}@{published.version}",
        files=published.files,
        bytes=published.bytes,
        uploaded_files=published.uploaded_files,
    )
    print(f"release: {made.describe()}")
    return made


def fetch_release(reference: str) -> "Fetched":
    """Fetch `FOLDER/name@latest` or `s3://bucket/prefix/name@latest` into the data folder, verified.

    InputError where there is no such release, UnavailableError where the store does not answer.
    """
    from tasks.storage.destination import open_store, parse_reference
    from tasks.storage.fetch import fetch, resolve

    found = parse_reference(reference)
    with open_store(_destination(str(found.destination)), must_exist=True) as store:
        version = resolve(store, found.name, found.selector)
        return fetch(store, found.name, version, settings().data / "releases" / version, replace=True)


def latest(release: ReleaseParameters) -> str:
    """How the newest release of a name is called: `data/store/spinneret@latest`."""
    return f"{release.destination.rstrip('/')}/{release.name}@{ALIAS}"


def make_package(  # noqa: PLR0913 as above
    *,
    corpus: Corpus,
    tokens: TokenBlocks,
    weights: Weights,
    before: Samples,
    after: Samples,
    parameters: dict[str, Group],
    release: ReleaseParameters,
) -> Package:
    """The folder to publish; its key is its content's, so the same run gives the same release."""
    told = {name: group.model_dump(mode="json", exclude_none=True) for name, group in parameters.items()}
    told["release"].pop("destination", None)  # where it lies is no property of a release
    files = {
        "samples.json": _json([vars(pair) for pair in pair_up(before, after)]),
        "templates.json": _json(templates_to_store(corpus)),
        "parameters.yaml": yaml.safe_dump(told, sort_keys=False, allow_unicode=True),
        "README.md": model_card(release.name, parameters["model"].model_dump()["name"], corpus, tokens, weights),
    }
    key = digest("release", VERSION, weights.model_sha256, files)
    return Package.make(key, partial(_fill, weights, files))


def _fill(weights: Weights, files: dict[str, str], folder: Path) -> Facts:
    published = folder / PUBLISHED
    published.mkdir()
    for path in sorted((weights.folder / "model").iterdir()):
        _link(path, published / path.name)
    for name, text in files.items():
        (published / name).write_text(text, encoding="utf-8")
    return {}


def _link(source: Path, target: Path) -> None:
    """A second name for a large file that nobody changes; a copy where the disk has no such thing."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def place_of(destination: str) -> str:
    """Where a destination is: `data/...` lies in the data folder, any other relative folder in the current one."""
    inside = "://" not in destination and Path(destination).parts[:1] == ("data",)
    return str(settings().data.joinpath(*Path(destination).parts[1:])) if inside else destination


def _destination(text: str) -> "Destination":
    from tasks.storage.destination import parse_destination

    return parse_destination(place_of(text))


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, indent=1) + "\n"
