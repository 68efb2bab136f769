"""Figures of runs, with and without champion, templates and samples, for the tests of the reports."""

from collections.abc import Sequence
from functools import cache
from math import inf
from typing import Any

from tasks.evaluation.corpus.figures import CorpusReport
from tasks.evaluation.models.bootstrap import HeldOutLosses
from tasks.evaluation.models.gate import Gate, Guards
from tasks.evaluation.models.prompts import choose_prompts
from tasks.evaluation.models.run_figures import Contender, Role, RunFigures, measure_models
from tasks.evaluation.reports.html import ReportData
from tasks.spintax import Template, join_templates, read_templates
from tests.factories.corpus_reports import SEED, seed_report
from tests.factories.hostile_text import HOSTILE

TEMPLATES = read_templates(SEED)
DOCUMENTS = list(join_templates(TEMPLATES).draw(300, seed=0))
TRAIN, HELD_OUT = DOCUMENTS[:280], DOCUMENTS[280:]
SECTIONS = [
    "verdict", "samples", "metrics", "losses", "corpus", "parameters", "timings", "environment", "lineage",
]  # fmt: skip
"""Ids of the sections of the HTML report."""

CHAMPION = "f110446b38620645f264dc076010001c79c6724442ae0552275f6b199a636d43"
FLOOR = 10.79
GUARDS = Guards(min_valid=0.3)
GARBAGE = (
    " R\ufffdabdwdw\ufffd\ufffd\ufffdGimetween bbbbb\ufffd4\n\ufffd&&Hideoast4Ride",
    "\x1b[31m putting\x00 | putting <b>a</b>",
    " twentywordslongandwithoutanyspace" * 6, "", " tuc tuc tuc tuc tuc tuc tuc \u202eyummy",
)  # fmt: skip
GIVEN = ("To make a cheese sandwich ", "you can", "anyone can build a basic cheese sandwich")


def losses(nats: float, documents: int = 20) -> HeldOutLosses:
    """Losses of documents of 21 tokens, some of them harder than others."""
    return HeldOutLosses(tuple(nats + (number % 5 - 2) / 10 for number in range(documents)), (21,) * documents)


def contender(role: Role, nats: float, prompts: Sequence[str], endings: Sequence[str]) -> Contender:
    """A model whose samples are the endings, in turn."""
    texts = [endings[index % len(endings)] for index in range(len(prompts))]
    name = {"base": "scratch-tiny", "challenger": "scratch-tiny, fine-tuned", "champion": CHAMPION}[role]
    return Contender(role, name, losses(nats), texts, [a + b for a, b in zip(prompts, texts, strict=True)])


def endings(prompts: Sequence[str], shift: int) -> list[str]:
    """What a model that knows the template may write: held-out and training documents, and something else."""
    written = []
    for index, prompt in enumerate(prompts):
        known = [one for one in DOCUMENTS[shift::7] if one.startswith(prompt)]
        written.append(known[index % len(known)][len(prompt) :] if known else " of cheese between two slices of bread")
    return written


def figures(
    *,
    champion: float | None = 11.4,
    challenger: float = 10.9,
    templates: Sequence[Template] = TEMPLATES,
    guards: Guards = GUARDS,
    gate: Gate = "on",
    given: Sequence[str] = GIVEN,
    samples: int = 3,
    hostile: Sequence[str] = GARBAGE,
) -> RunFigures:
    """A run of five prompts; `champion` and `challenger` are nats per document."""
    prompts = choose_prompts(given, HELD_OUT[:2], templates)
    asked = [prompt.text for prompt in prompts for _ in range(samples)]
    contenders = [
        contender("base", 131.6, asked, hostile),
        contender("challenger", challenger, asked, endings(asked, 0)),
    ]
    if champion is not None:
        contenders.append(contender("champion", champion, asked, endings(asked, 3)))
    return measure_models(
        contenders, prompts, [(prompt, 7 + index) for index, prompt in enumerate(asked)], templates=templates,
        train=lambda: TRAIN, floor=FLOOR if templates else None, guards=guards, gate=gate,
    )  # fmt: skip


RUNS: dict[str, dict[str, Any]] = {
    "champion": {},
    "first": {"champion": None},
    "text files": {"templates": [], "guards": Guards()},
    "refused": {"challenger": 140},
    "refused first": {"challenger": 140, "champion": None},
    "off": {"challenger": 140, "gate": "off"},
    "not finite": {"challenger": inf},
    "hostile": {"given": HOSTILE, "hostile": HOSTILE, "champion": None},
    "no samples": {"given": (), "samples": 0},
}
"""Name → arguments of `figures`."""


@cache
def run(name: str) -> RunFigures:
    """The figures of one of RUNS."""
    return figures(**RUNS[name])


def history(measurements: int = 11) -> list[dict[str, Any]]:
    """The history of a training whose losses fall to the floor."""
    entries: list[dict[str, Any]] = [{"step": 0, "eval_loss": 6.27}]
    for number in range(1, measurements):
        more = {"learning_rate": 1e-3, "grad_norm": 0.5, "tokens_per_second": 3456.7}
        step, loss = 27 * number, 0.515 + 5.75 * 0.35**number
        entries += [{"step": step, "loss": loss + 0.05 / number, **more}, {"step": step, "eval_loss": loss}]
    return entries


@cache
def corpus() -> CorpusReport:
    """The report of a corpus of `cheese.spintax`."""
    return seed_report(600)


def report_data(**changed: Any) -> ReportData:
    """The data of a whole report, changed in the given fields."""
    whole: dict[str, Any] = {
        "title": "spinneret",
        "figures": figures(),
        "history": history(),
        "floor_per_token": 0.512,
        "corpus": corpus(),
        "parameters": {
            "corpus": {"templates": ["data/templates/cheese.spintax"], "num_documents": 6000, "texts": []},
            "training": {"learning_rate": 0.003, "batch_size": None, "bf16": False, "schedule": "cosine"},
            "sampling": {"prompts": list(GIVEN), "temperature": 0.8},
        },
        "timings": {"corpus": 0.42, "base model": 1.3, "tokens": 0.9, "weights": 122.0, "samples": 9.1, "release": 2.2},
        "environment": {
            "git_commit": "c0ffee" * 6 + "c0ff", "git_changed": True, "python": "3.11.9",
            "libraries": {"prefect": "3.8.8", "torch": "2.13.0+cpu", "transformers": "4.57.6"},
        },
        "lineage": [
            ("template", "data/templates/cheese.spintax, 48,600 derivations", "7" * 64),
            ("corpus", "6,000 documents, 5,400 to train on", "1" * 64),
            ("tokens", "890 blocks of 128", "2" * 64),
            ("base model", "scratch-tiny, 922,880 random weights", "3" * 64),
            ("weights", "297 steps", "4" * 64),
            ("release", "spinneret@latest", "5" * 64),
        ],
    }  # fmt: skip
    return ReportData(**whole | changed)
