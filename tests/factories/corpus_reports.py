"""Corpus reports of small corpora, and of `cheese.spintax`."""

from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2b, sha256
from pathlib import Path

from tasks.evaluation.corpus.figures import CorpusReport, Counts, Source, Split, Tokens
from tasks.evaluation.corpus.report import compute_report
from tasks.spintax import Template, join_templates, read_templates

SEED = Path(__file__).parents[2] / "data" / "templates" / "cheese.spintax"
SMALL = "{a|b} {c|d} {e|f|g} x"
OWN = [f"{' '.join(f'w{number + step}' for step in range(10))}" for number in range(0, 40, 5)]
LINE = Split(kind="line")


class Once:
    """A stream that can be read once."""

    def __init__(self, documents: Sequence[str]) -> None:
        self.documents = documents
        self.read = 0

    def __iter__(self) -> Iterator[str]:
        self.read += 1
        assert self.read == 1
        return iter(self.documents)


def template_source(template: Template, documents: int) -> Source:
    digest = sha256(template.text.encode()).hexdigest()
    return Source(name=template.name, kind="template", line=template.line, sha256=digest, documents=documents)


def report(
    train: Sequence[str],
    evaluation: Sequence[str],
    *templates: str | Template,
    drawn: Sequence[int] | None = None,
    own: Sequence[Source] = (),
    split: Split = LINE,
    tokens: Tokens | None = None,
    asked: int | None = None,
    fingerprints: Mapping[str, str] | None = None,
    warnings: Sequence[str] = (),
) -> CorpusReport:
    """Report on documents that were all kept."""
    parsed = [text if isinstance(text, Template) else Template.parse(text) for text in templates]
    kept = len(train) + len(evaluation)
    taken = drawn or [kept] * len(parsed)
    streams = Once(train), Once(evaluation)
    made = compute_report(
        train=streams[0],
        evaluation=streams[1],
        templates=parsed,
        sources=[*map(template_source, parsed, taken), *own],
        counts=Counts(read=kept, kept=kept, duplicate=0, empty=0, train=len(train), evaluation=len(evaluation)),
        split=split,
        tokens=tokens,
        asked=asked,
        fingerprints=fingerprints,
        warnings=warnings,
    )
    assert [stream.read for stream in streams] == [1, 1]
    return made


def own_source(documents: int) -> Source:
    return Source(name="own.txt", kind="text", sha256="0" * 64, documents=documents)


def seed_report(documents: int, *, seed: int = 0, eval_share: float = 0.1) -> CorpusReport:
    """The report of documents of `cheese.spintax`, split by line as the corpus stage does it: by digest."""
    templates = read_templates(SEED)
    drawn = sorted(
        join_templates(templates).draw(documents, seed),
        key=lambda text: blake2b(text.encode(), key=b"%d" % seed).digest(),
    )
    cut = round(documents * eval_share)
    return report(drawn[cut:], drawn[:cut], *templates, asked=documents)
