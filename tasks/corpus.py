"""Corpus: templates and own text in, distinct shuffled documents out, split into training and held-out.

What comes in: the corpus parameters. What it leaves: `data/corpus/<key>/` with `train.jsonl`, `eval.jsonl` and
`templates.json`. The key is made of the bytes of the sources, not of their names or times.
"""

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from prefect import task

from tasks.caching import content_key
from tasks.dataset import DOCUMENT_SUFFIXES, PreparedCorpus, file_digest, prepare, read_documents, write_documents
from tasks.errors import InputError
from tasks.folders import Facts, digest
from tasks.parameters import CorpusParameters
from tasks.references import Corpus
from tasks.settings import find_file
from tasks.spintax import Template, draw_from, parse_templates, read_templates

VERSION = 1
TEMPLATE_SUFFIXES = (".spintax", ".md", ".markdown")


def corpus_key(corpus: CorpusParameters) -> str:
    """The key of a corpus; InputError where a source is missing."""
    sources = [["template", corpus.template]]
    if corpus.template is None:
        sources = [[Path(path).suffix.lower(), file_digest(find_file(path))] for path in corpus.source]
    return digest("corpus", VERSION, sources, corpus.model_dump(include={*_CHANGES_THE_CORPUS}))


_CHANGES_THE_CORPUS = ("column", "num_documents", "eval_fraction", "seed")


@task(
    name="make corpus",
    cache_policy=content_key(Corpus, corpus_key),
    persist_result=True,
    result_serializer="json",
)
def make_corpus(corpus: CorpusParameters) -> Corpus:
    """Draw from the templates, read own text, deduplicate, shuffle and split."""
    made = Corpus.make(corpus_key(corpus), partial(_fill, corpus))
    print(f"corpus: {made.describe()}")
    return made


def check_sources(corpus: CorpusParameters) -> None:
    """Raise InputError where a template does not parse or a source cannot be read at all; costs next to nothing."""
    templates, tables = _sources(corpus)
    for path in tables:
        next(read_documents(path, corpus.column), None)
    if not templates and not tables:
        raise InputError("--corpus.source names no file: name at least one, or type a template with --corpus.template")


def load_templates(corpus: Corpus) -> list[Template]:
    """The templates that a corpus was drawn from; none where own text is in it."""
    return read_stored_templates(corpus.folder / "templates.json")


def read_stored_templates(path: Path) -> list[Template]:
    """The templates in a `templates.json`; none where the file is not there."""
    stored = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []
    return [Template.parse(entry["template"], name=entry["name"]) for entry in stored]


def _fill(corpus: CorpusParameters, folder: Path) -> Facts:
    templates, tables = _sources(corpus)
    prepared = prepare(_documents(corpus, templates, tables), seed=corpus.seed, eval_fraction=corpus.eval_fraction)
    write_documents(folder / "train.jsonl", prepared.train)
    write_documents(folder / "eval.jsonl", prepared.evaluation)
    only_templates = [] if tables else templates
    stored = [{"name": Path(template.name).name, "template": template.text} for template in only_templates]
    (folder / "templates.json").write_text(json.dumps(stored, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    return _facts(prepared, only_templates)


def _facts(prepared: PreparedCorpus, templates: list[Template]) -> Facts:
    return {
        "documents": prepared.counts.kept,
        "duplicates": prepared.counts.duplicate,
        "empty": prepared.counts.empty,
        "train_documents": len(prepared.train),
        "eval_documents": len(prepared.evaluation),
        "derivations": sum(template.count for template in templates) or None,
    }


def _documents(corpus: CorpusParameters, templates: list[Template], tables: list[Path]) -> Iterator[str]:
    if templates:
        yield from draw_from(templates, corpus.num_documents, corpus.seed)
    for path in tables:
        yield from read_documents(path, corpus.column)


def _sources(corpus: CorpusParameters) -> tuple[list[Template], list[Path]]:
    """The templates, parsed, and the files of own text."""
    if corpus.template is not None:
        return parse_templates(corpus.template, name="corpus.template"), []
    templates: list[Template] = []
    tables: list[Path] = []
    for given in corpus.source:
        path = find_file(given)
        suffix = path.suffix.lower()
        if suffix in TEMPLATE_SUFFIXES:
            templates += read_templates(path)
        elif suffix in DOCUMENT_SUFFIXES:
            tables.append(path)
        else:
            known = ", ".join((*TEMPLATE_SUFFIXES, *DOCUMENT_SUFFIXES))
            raise InputError(f"--corpus.source {given}: the ending {suffix!r} is not one of {known}; rename the file.")
    return templates, tables
