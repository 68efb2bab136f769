"""Train: the whole story, template → corpus → base model → tokens → weights → samples → release.

What comes in: six groups of parameters. What it leaves: a release in the object store, and samples before and after,
side by side. Command: `python flows/train.py`; finished stages are cached. With `--plan` it shows the steps, memory and
time that a run would need, and trains and publishes nothing.
"""

import os
import shlex
import shutil
import sys
from datetime import datetime

from prefect import flow
from pydantic import BaseModel, ConfigDict

from flows.cli.command import run
from flows.evaluate import evaluate
from flows.finetune import finetune
from flows.prepare import Prepared, prepare
from tasks.base_model import make_base_model_without_server
from tasks.corpus import check_sources, make_corpus
from tasks.corpus_report import make_report
from tasks.evaluation.reports.terminal import summary_text
from tasks.observability.logs import start_run
from tasks.packaging.package import report_path
from tasks.parameters import (
    CorpusParameters,
    ModelParameters,
    ReleaseParameters,
    RunParameters,
    SamplingParameters,
    TokenParameters,
    TrainingParameters,
    flag,
)
from tasks.plan.plan import make_plan
from tasks.plan.text import plan_text
from tasks.plan.warnings import with_warnings
from tasks.release import check_destination, publish_release
from tasks.remote_finetuning import finetune_remotely
from tasks.samples import make_samples
from tasks.stage.contents import read_comparison, read_report
from tasks.stage.lineage import Lineage, Release
from tasks.stage.references import Weights
from tasks.tokens import make_tokens
from tasks.unchanged import Unchanged, completed, find_unchanged, first_start
from tasks.weights import show_training


class Trained(BaseModel):
    """The published release, and references to all that it was made of."""

    model_config = ConfigDict(frozen=True)

    lineage: Lineage
    release: Release


@flow(name="train", log_prints=True)
def train(  # noqa: PLR0913 the six groups
    *,
    corpus: CorpusParameters = CorpusParameters(),
    tokens: TokenParameters = TokenParameters(),
    model: ModelParameters = ModelParameters(),
    training: TrainingParameters = TrainingParameters(),
    sampling: SamplingParameters = SamplingParameters(),
    release: ReleaseParameters = ReleaseParameters(),
    finetune_on: str | None = None,
    skip_unchanged: bool = False,
    force: bool = False,
) -> Trained | Unchanged:
    """Spin a corpus, fine-tune a GPT on it, show samples before and after, and publish the model.

    Args:
        corpus: Which texts the corpus consists of.
        tokens: How the corpus is split into blocks.
        model: Which model is the base model.
        training: How it is fine-tuned.
        sampling: How it writes samples, before and after training.
        release: Where the model is published.
        finetune_on: A deployment that does the fine-tuning (finetune/finetune); data goes through release.destination.
        skip_unchanged: End at once where corpus, parameters and base model are those of the newest release.
        force: Train even if these weights exist already.
    """
    start_run()
    check_destination(release)
    parameters = RunParameters(
        corpus=corpus, tokens=tokens, model=model, training=training, sampling=sampling, release=release
    )
    if skip_unchanged and not force:
        unchanged = find_unchanged(parameters)
        if unchanged is not None:
            return completed(unchanged)
    prepared = prepare(corpus=corpus, tokens=tokens, model=model, training=training)
    make_samples(prepared.base, prepared.corpus, sampling)
    weights = _finetune(prepared, parameters, deployment=finetune_on, not_before=first_start() if force else None)
    show_training(weights, prepared.report)
    evaluated = evaluate(prepared=prepared, weights=weights, sampling=sampling, release=release)
    lineage = Lineage(
        corpus=prepared.corpus,
        base=prepared.base,
        tokens=prepared.tokens,
        report=prepared.report,
        weights=weights,
        contenders=evaluated.contenders,
        comparison=evaluated.comparison,
    )
    return Trained(lineage=lineage, release=publish_release(lineage, parameters))


def _finetune(
    prepared: Prepared, parameters: RunParameters, *, deployment: str | None, not_before: datetime | None
) -> Weights:
    """Fine-tune as a subflow of this run, or by a run of `deployment`."""
    if not deployment:
        return finetune(
            tokens=prepared.tokens,
            base=prepared.base,
            training=parameters.training,
            release=parameters.release,
            sampling=parameters.sampling,
            not_before=not_before,
        )
    return finetune_remotely(
        deployment,
        tokens=prepared.tokens,
        base=prepared.base,
        training=parameters.training,
        release=parameters.release,
        sampling=parameters.sampling,
        not_before=not_before,
    )


def plan(  # noqa: PLR0913 the parameters of `train`
    *,
    corpus: CorpusParameters,
    tokens: TokenParameters,
    model: ModelParameters,
    training: TrainingParameters,
    sampling: SamplingParameters,
    release: ReleaseParameters,
    finetune_on: str | None = None,
    skip_unchanged: bool = False,
    force: bool = False,
    as_json: bool = False,
) -> str:
    """Steps, memory and time of a run with these parameters, as a table or as JSON; needs no Prefect server.

    It makes the stages before training, which a run then finds. `release` and all after it have no effect.
    """
    made = make_corpus.fn(corpus)
    base = make_base_model_without_server(made, model, training.seed)
    blocks = make_tokens.fn(made, base, tokens, training)
    report = make_report.fn(made, blocks, corpus.num_documents)
    planned = make_plan(made, base, blocks, report, training)
    planned = with_warnings(planned, training, sampling, read_report(report).distinct)
    return planned.model_dump_json(indent=1) if as_json else plan_text(planned)


def summary(trained: Trained | Unchanged) -> str:
    """What the command prints at the end of a run."""
    if isinstance(trained, Unchanged):
        return trained.sentence()
    release = trained.release
    uri = release.uri.rpartition("@")[0]
    lines = [
        summary_text(
            read_comparison(trained.lineage.comparison),
            width=shutil.get_terminal_size((100, 24)).columns,
            colour=sys.stdout.isatty() and not os.environ.get("NO_COLOR"),
        ),
        f"release        {uri}@latest (version {release.version[:12]}{', the champion' if release.champion else ''})",
        f"report         {report_path(release)}",
        f"use it         python flows/sample.py {shlex.quote('you can')}{_flags(release)}",
        f"see all        python flows/release.py list{_flags(release)}",
    ]
    return "\n".join(lines)


def _flags(release: Release) -> str:
    """The flags with which other commands find this release, where they are not the defaults."""
    defaults = ReleaseParameters()
    fields = [("destination", release.destination, defaults.destination), ("name", release.name, defaults.name)]
    return "".join(f" {flag('release', name)} {shlex.quote(value)}" for name, value, usual in fields if value != usual)


if __name__ == "__main__":
    run(train, summary=summary, check=lambda parameters: check_sources(parameters["corpus"]), plan=plan)
