"""Corpus: templates and text files in, distinct shuffled documents out, split into training and held-out.

What comes in: the corpus parameters. What it leaves: `data/corpus/<key>/` with `train.jsonl`, `eval.jsonl` and
`sources.json`, which says where the documents came from and how they were split. The key depends on the bytes of
the sources, not on their names or times.
"""

from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

from tasks.dataset import DOCUMENT_SUFFIXES, prepare, read_documents, share_out
from tasks.errors import InputError, UnavailableError
from tasks.parameters import CorpusParameters
from tasks.spintax import Pair, Template, choose_pairs, parse_templates, read_templates
from tasks.stage.contents import CorpusSource, CorpusSources
from tasks.stage.folders import Facts, digest, file_digest
from tasks.stage.references import Corpus
from tasks.stage.sources import find_source
from tasks.stage.stage import RETRIED, stage

VERSION = 2
TEMPLATE_SUFFIXES = (".spintax", ".md", ".markdown")


def corpus_key(corpus: CorpusParameters) -> str:
    """The key of a corpus; InputError where a source is missing."""
    sources = [["template", corpus.template]]
    if corpus.template is None:
        sources = [[Path(path).suffix.lower(), file_digest(find_source(path))] for path in corpus.source]
    return digest("corpus", VERSION, sources, corpus.model_dump(exclude={"source", "template"}))


@stage(Corpus, "make corpus", corpus_key, **RETRIED)
def make_corpus(folder: Path, corpus: CorpusParameters) -> Facts:
    """Draw from the templates, read the text files, deduplicate, shuffle and split.

    UnavailableError where a source was changed meanwhile.
    """
    before = corpus_key(corpus)
    templates, text_files = _sources(corpus)
    pairs = _held_out_pairs(corpus, templates)
    taken = [0] * (len(templates) + len(text_files))
    held_out = _held_out_test(templates, pairs) if corpus.split == "combination" else None
    counts = prepare(_documents(corpus, templates, text_files, taken), folder, corpus, held_out=held_out)
    sources = CorpusSources(sources=_describe_sources(templates, text_files, taken), split=corpus.split, pairs=pairs)
    (folder / "sources.json").write_text(sources.model_dump_json(indent=1) + "\n", encoding="utf-8")
    if corpus_key(corpus) != before:
        raise UnavailableError("corpus.source was changed while the corpus was made from it: try again")
    return {
        "read": counts.read,
        "documents": counts.kept,
        "duplicates": counts.duplicate,
        "empty": counts.empty,
        "rejected": dict(counts.rejected),
        "train_documents": counts.train,
        "eval_documents": counts.evaluation,
        "derivations": None if text_files else sum(template.count for template in templates),
    }


def check_sources(corpus: CorpusParameters) -> None:
    """Raise InputError where a template does not parse, a source cannot be read or the parameters do not fit them.

    It takes almost no time, unless a source in an object store was not fetched yet.
    """
    templates, text_files = _sources(corpus)
    for path in text_files:
        next(read_documents(path, corpus.column), None)
    _held_out_pairs(corpus, templates)


def _documents(
    corpus: CorpusParameters, templates: list[Template], text_files: list[Path], taken: list[int]
) -> Iterator[str]:
    """Yield the documents of all sources, templates first; `taken` counts them source by source."""
    streams = [*_draws(corpus, templates), *(read_documents(path, corpus.column) for path in text_files)]
    for number, stream in enumerate(streams):
        for document in stream:
            taken[number] += 1
            yield document


def _draws(corpus: CorpusParameters, templates: list[Template]) -> Iterator[Iterator[str]]:
    """Yield the documents of each template, all of them in order where all are wanted."""
    shares = share_out([template.count for template in templates], corpus.num_documents, corpus.mix)
    for number, (template, share) in enumerate(zip(templates, shares, strict=True)):
        yield iter(template) if share == template.count else template.draw(share, corpus.seed + number)


def _held_out_pairs(corpus: CorpusParameters, templates: list[Template]) -> tuple[tuple[Pair, ...], ...]:
    """The pairs of options to hold out, template by template."""
    if corpus.split == "line":
        return ()
    chosen = tuple(
        tuple(choose_pairs(template, corpus.eval_fraction, corpus.seed + number))
        for number, template in enumerate(templates)
    )
    if not any(chosen):
        raise InputError(
            "--corpus.split combination holds out pairs of options, and no template has two groups of two or more "
            "options outside any other group; use --corpus.split line"
        )
    return chosen


def _held_out_test(templates: list[Template], pairs: tuple[tuple[Pair, ...], ...]) -> Callable[[str], bool]:
    """The test whether a document has a held-out pair, in any template that it is a variant of."""

    def held_out(document: str) -> bool:
        for template, some in zip(templates, pairs, strict=True):
            choices = template.choices_of(document)
            if choices is not None and any(pair.is_in(choices) for pair in some):
                return True
        return False

    return held_out


def _describe_sources(templates: list[Template], text_files: list[Path], taken: list[int]) -> tuple[CorpusSource, ...]:
    drawn = [
        CorpusSource(
            name=Path(template.name).name,
            sha256=sha256(template.text.encode()).hexdigest(),
            documents=number,
            template=template.text,
            line=template.line,
        )
        for template, number in zip(templates, taken, strict=False)
    ]
    read = [
        CorpusSource(name=path.name, sha256=file_digest(path), documents=number)
        for path, number in zip(text_files, taken[len(templates) :], strict=True)
    ]
    return (*drawn, *read)


def _sources(corpus: CorpusParameters) -> tuple[list[Template], list[Path]]:
    """The templates, parsed, and the text files; InputError where the parameters do not fit them."""
    templates, text_files = _find_sources(corpus)
    if not templates and not text_files:
        raise InputError("--corpus.source names no file: name at least one, or type a template with --corpus.template")
    if templates and corpus.near_duplicates is not None:
        raise InputError(
            "--corpus.near-duplicates is for text files, and there is a template among the sources: nearly all that a "
            "template gives is a near duplicate (of the cheese template's 48,600 sentences 14,467 would stay at 0.7), "
            "so leave it out, or prepare the text files without the template"
        )
    if text_files and corpus.split == "combination":
        raise InputError(
            f"--corpus.split combination holds out pairs of a template's options, and {text_files[0].name} is a text "
            "file; use --corpus.split line, or leave the text file out"
        )
    return templates, text_files


def _find_sources(corpus: CorpusParameters) -> tuple[list[Template], list[Path]]:
    if corpus.template is not None:
        return parse_templates(corpus.template, name="corpus.template"), []
    templates: list[Template] = []
    text_files: list[Path] = []
    for given in corpus.source:
        suffix = Path(given).suffix.lower()
        if suffix not in (*TEMPLATE_SUFFIXES, *DOCUMENT_SUFFIXES):
            known = ", ".join((*TEMPLATE_SUFFIXES, *DOCUMENT_SUFFIXES))
            raise InputError(f"--corpus.source {given}: the file extension {suffix!r} is not one of {known}; rename it")
        path = find_source(given)
        if suffix in TEMPLATE_SUFFIXES:
            templates += read_templates(path)
        else:
            text_files.append(path)
    return templates, text_files
