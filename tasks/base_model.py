"""Base model: a name in, a model that can be loaded out.

What comes in: `model.name` (a preset, a hub id, a folder or a release) and, for a preset, the corpus that its
tokenizer is trained on. What it leaves: a reference with a digest of the content. A preset is built in
`data/base/<key>/`, a release is fetched and verified into `data/releases/<version>/`; a hub id stays in Hugging
Face's own cache.
"""

import re
from functools import partial
from pathlib import Path

from prefect import task

from tasks.caching import content_key, retry_can_help
from tasks.corpus import make_corpus
from tasks.dataset import read_jsonl_documents
from tasks.errors import InputError
from tasks.folders import Facts, digest, list_files
from tasks.parameters import (
    SCRATCH_PRESETS,
    CorpusParameters,
    ModelParameters,
    ReleaseParameters,
    TrainingParameters,
)
from tasks.references import Base, Corpus, ModelReference
from tasks.release import fetch_release, find_version, latest
from tasks.settings import find_file
from tasks.stage_log import make_and_tell

VERSION = 1
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")


def base_key(corpus: Corpus, model: ModelParameters, seed: int) -> str | None:
    """The key of a preset's folder: preset, the texts of its tokenizer and the seed of its weights; else None.

    InputError where another type of model is asked for than the preset is.
    """
    if model.name not in SCRATCH_PRESETS:
        return None
    if model.type != "GPT-NEO":
        raise InputError(
            f"--model.name {model.name} is a GPT-Neo model, but --model.type is {model.type!r}; leave it out."
        )
    return digest("base", VERSION, model.name, corpus.sha256, seed)


@task(
    name="make base model",
    cache_policy=content_key(Base, base_key),
    persist_result=True,
    result_serializer="json",
    retries=2,
    retry_delay_seconds=[2, 5],
    retry_condition_fn=retry_can_help,
    retry_jitter_factor=0.5,
)
def make_base_model(corpus: Corpus, model: ModelParameters, seed: int) -> ModelReference:
    """Build a preset (once for each corpus and seed), or find the model that is named."""
    key = base_key(corpus, model, seed)
    if key is None:
        found = find_model(model)
        print(f"base model: {found.name} ({found.sha256[:12]})")
        return found
    base = make_and_tell(Base, key, partial(_fill, model.name, corpus, seed), model=model.name)
    return ModelReference.in_folder(
        base.folder, name=model.name, type=model.type, sha256=base.sha256, preset=model.name
    )


def find_sampled_model(model: ModelParameters, release: ReleaseParameters) -> ModelReference:
    """The model to write samples with: `latest` is the newest release, a preset is that of the default corpus."""
    if model.name == "latest":
        return find_model(ModelParameters(name=latest(release), type=model.type))
    if model.name in SCRATCH_PRESETS:
        return make_base_model.fn(make_corpus.fn(CorpusParameters()), model, TrainingParameters().seed)
    return find_model(model)


def find_model(model: ModelParameters) -> ModelReference:
    """The model that a hub id, a folder or a release names; InputError where it is none."""
    from tasks.modeling.base_models import check_model_folder, hub_commit

    folder = find_file(model.name)
    if folder.is_dir():
        check_model_folder(folder)
        return ModelReference.in_folder(
            folder.resolve(), name=model.name, type=model.type, sha256=digest(list_files(folder))
        )
    if "@" in model.name:
        fetched = fetch_release(model.name)
        return ModelReference.in_folder(fetched.folder, name=model.name, type=model.type, sha256=fetched.version)
    if not _HUB_ID.fullmatch(model.name):
        raise InputError(
            f"--model.name {model.name}: there is no such folder, and it is no hub id; use a preset "
            f"({', '.join(SCRATCH_PRESETS)}), a hub id, a folder, or a release (FOLDER/name@latest)."
        )
    commit = hub_commit(model.name)
    return ModelReference(name=model.name, type=model.type, sha256=commit, revision=commit)


def model_digest(model: ModelParameters) -> str:
    """The `sha256` of what `find_model` finds; no release is fetched for it."""
    named = "@" in model.name and not find_file(model.name).is_dir()
    return find_version(model.name) if named else find_model(model).sha256


def _fill(preset: str, corpus: Corpus, seed: int, folder: Path) -> Facts:
    from tasks.modeling.base_models import build_from_scratch

    texts = read_jsonl_documents(corpus.folder / "train.jsonl")
    parameters, vocabulary = build_from_scratch(preset, texts, folder, seed=seed)
    return {"parameters": parameters, "vocabulary": vocabulary}
