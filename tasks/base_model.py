"""Base model: find or build the model that a name stands for.

What comes in: `model.name` (a preset, a hub id, a folder or a release) and, for a preset, the corpus that its tokenizer
is trained on. What it leaves: a reference with a digest of the content. A preset is built in `data/base/<key>/`, a
release is fetched and verified into `data/releases/<version>/`; a hub id stays in Hugging Face's own cache.
"""

import re
from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks.corpus import make_corpus
from tasks.errors import InputError
from tasks.modeling import set_thread_defaults
from tasks.parameters import SCRATCH_PRESETS, CorpusParameters, ModelParameters, ReleaseParameters, TrainingParameters
from tasks.registry.locate import fetch_release, find_version, latest
from tasks.settings import find_file
from tasks.stage.contents import read_split
from tasks.stage.folders import Facts, digest, list_files
from tasks.stage.references import Base, Corpus, ModelReference
from tasks.stage.stage import RETRIED, stage

VERSION = 1
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")


def base_key(corpus_sha256: str, model: ModelParameters, seed: int) -> str:
    """The key of a preset's folder: the preset, the corpus of its tokenizer and the seed of its weights.

    Raises InputError if `model.type` is not that of the preset.
    """
    if model.type != "GPT-NEO":
        raise InputError(
            f"--model.name {model.name} is a GPT-Neo model, but --model.type is {model.type!r}; omit --model.type."
        )
    return digest("base", VERSION, model.name, corpus_sha256, seed)


@stage(Base, "make base model", lambda corpus, model, seed: base_key(corpus.sha256, model, seed), **RETRIED)
def make_preset(folder: Path, corpus: Corpus, model: ModelParameters, seed: int) -> Facts:
    """Build a preset: train its tokenizer on the corpus and initialize its weights at random."""
    from tasks.modeling.base_models import SHAPES, build_from_scratch

    texts = read_split(corpus, "train")
    parameters, vocabulary = build_from_scratch(SHAPES[model.name], texts, folder, seed=seed)
    return {"parameters": parameters, "vocabulary": vocabulary}


@task(name="find base model", cache_policy=NO_CACHE, persist_result=False, **RETRIED)
def find_base_model(model: ModelParameters) -> ModelReference:
    """Find the model of a hub id, a folder or a release."""
    found = find_model(model)
    print(f"base model: {found.name} ({found.sha256[:12]})")
    return found


def make_base_model(corpus: Corpus, model: ModelParameters, seed: int) -> ModelReference:
    """Build a preset (once per corpus and seed), or find an existing model, by a Prefect task of the calling flow."""
    set_thread_defaults()
    if model.name in SCRATCH_PRESETS:
        return _preset_model(make_preset(corpus, model, seed), model)
    return find_base_model(model)


def make_base_model_without_server(corpus: Corpus, model: ModelParameters, seed: int) -> ModelReference:
    """Like `make_base_model`, but not as a Prefect task."""
    set_thread_defaults()
    if model.name in SCRATCH_PRESETS:
        return _preset_model(make_preset.fn(corpus, model, seed), model)
    return find_base_model.fn(model)


def find_sampled_model(model: ModelParameters, release: ReleaseParameters) -> ModelReference:
    """The model to generate samples with: `latest` is the newest release, a preset is that of the default corpus."""
    if model.name == "latest":
        return find_model(ModelParameters(name=latest(release), type=model.type))
    if model.name in SCRATCH_PRESETS:
        return make_base_model_without_server(make_corpus.fn(CorpusParameters()), model, TrainingParameters().seed)
    return find_model(model)


def find_model(model: ModelParameters) -> ModelReference:
    """The model of a hub id, a folder or a release; InputError if it is not a model."""
    set_thread_defaults()
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
            f"--model.name {model.name}: there is no such folder, and it is not a valid hub id; use a preset "
            f"({', '.join(SCRATCH_PRESETS)}), a hub id, a folder, or a release (FOLDER/name@latest)."
        )
    commit = hub_commit(model.name)
    return ModelReference(name=model.name, type=model.type, sha256=commit, revision=commit)


def model_digest(model: ModelParameters) -> str:
    """The `sha256` of what `find_model` finds, without fetching a release."""
    is_release = "@" in model.name and not find_file(model.name).is_dir()
    return find_version(model.name) if is_release else find_model(model).sha256


def _preset_model(base: Base, model: ModelParameters) -> ModelReference:
    return ModelReference.in_folder(
        base.folder, name=model.name, type=model.type, sha256=base.sha256, preset=model.name
    )
