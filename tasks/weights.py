"""Weights: fine-tune a base model on token blocks.

What comes in: references to both, the training parameters, and where checkpoints are shared. What it leaves:
`data/weights/<key>/` with `model/` (as Hugging Face lays out a model folder) and `history.json`. An interrupted
training resumes from its last checkpoint in `data/checkpoints/<key>/`; the checkpoints are removed when the weights are
complete. The Prefect UI shows the progress and the losses of the training.
"""

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks.evaluation.reports.loss_plot import losses_markdown, plot_losses
from tasks.modeling import set_thread_defaults
from tasks.observability.artifacts import show
from tasks.observability.progress import TrainingProgress
from tasks.parameters import ReleaseParameters, SamplingParameters, TrainingParameters
from tasks.settings import resolve_destination
from tasks.stage.contents import read_history
from tasks.stage.folders import Facts, digest, list_files, remove_older
from tasks.stage.references import ModelReference, Report, TokenBlocks, Weights
from tasks.stage.stage import stage
from tasks.training.job import Job, run_job
from tasks.training.provenance import provenance
from tasks.training.torchrun import train_distributed

VERSION = 3
_WITHOUT_EFFECT = {
    "save_steps",
    "save_total_limit",
    "share_checkpoints",
    "save_preprocessed_data",
    "save_preprocessed_data_path",
    "load_preprocessed_data",
    "load_preprocessed_data_path",
    "preprocessing_processes",
}
"""Training parameters that affect the tokens or the checkpoints only, not the weights."""


def weights_key(tokens_sha256: str, base_sha256: str, training: TrainingParameters) -> str:
    """The key of the weights: the blocks, the base model and each parameter that affects the training."""
    return digest("weights", VERSION, tokens_sha256, base_sha256, training.model_dump(exclude=_WITHOUT_EFFECT))


def _job(tokens: TokenBlocks, base: ModelReference, training: TrainingParameters, release: ReleaseParameters) -> Job:
    set_thread_defaults()
    from tasks.modeling.devices import world_size

    return Job(
        key=weights_key(tokens.sha256, base.sha256, training),
        tokens=tokens,
        base=base,
        training=training,
        processes=world_size(training),
        share_with=resolve_destination(release.destination) if training.share_checkpoints else None,
    )


@contextmanager
def _exclusive(
    tokens: TokenBlocks, base: ModelReference, training: TrainingParameters, release: ReleaseParameters
) -> Iterator[None]:
    """Allow one process at a time to train these weights; remove the checkpoints when they are complete."""
    with _job(tokens, base, training, release).checkpoints() as checkpoints, checkpoints.exclusive():
        yield
        checkpoints.clear()


@stage(
    Weights,
    "make weights",
    lambda tokens, base, training: weights_key(tokens.sha256, base.sha256, training),
    around=_exclusive,
)
def make_weights(  # noqa: PLR0913, PLR0917 the folder and five inputs
    folder: Path,
    tokens: TokenBlocks,
    base: ModelReference,
    training: TrainingParameters,
    release: ReleaseParameters,
    sampling: SamplingParameters,
) -> Facts:
    """Fine-tune the base model, from the last checkpoint if there is one; a failure would repeat, so no retries.

    `release` is where `training.share_checkpoints` copies checkpoints, `sampling` how samples are generated at each
    evaluation; neither affects the weights.
    """
    from tasks.modeling.devices import choose_precision, local_world_size

    job = _job(tokens, base, training, release).model_copy(update={"sampling": sampling})
    recipe = job.recipe
    print(
        f"training: learning_rate={recipe.learning_rate:g} batch_size={recipe.batch_size} "
        f"gradient_accumulation_steps={training.gradient_accumulation_steps} processes={job.processes} "
        f"num_train_epochs={training.num_train_epochs:g} schedule={recipe.lr_scheduler_type} "
        f"warmup_ratio={recipe.warmup_ratio:g} weight_decay={training.weight_decay:g} "
        f"precision={choose_precision(training)} seed={training.seed}"
    )
    with TrainingProgress() as reporter:
        if job.processes > 1 or training.fsdp:
            facts = train_distributed(
                job, folder, local_processes=local_world_size(training), on_progress=reporter.report
            )
        else:
            facts = run_job(job, folder, on_progress=reporter.report)
    (folder / "environment.json").write_text(json.dumps(provenance(), indent=1) + "\n", encoding="utf-8")
    return {**facts, "processes": job.processes, "model_sha256": digest(list_files(folder / "model"))}


@task(name="forget weights", cache_policy=NO_CACHE, persist_result=False)
def forget_weights(
    tokens: TokenBlocks, base: ModelReference, training: TrainingParameters, not_before: datetime
) -> None:
    """Remove the weights if they were made before `not_before`, so that they are made again."""
    if remove_older(Weights.folder_of(weights_key(tokens.sha256, base.sha256, training)), not_before):
        print("weights: removed those of an earlier run; they are made again")


@task(name="show training", cache_policy=NO_CACHE, persist_result=False)
def show_training(weights: Weights, report: Report) -> None:
    """Show the losses in the UI, as a plot with the loss floor and as a table."""
    history = read_history(weights)
    picture = base64.b64encode(plot_losses(history, floor=report.floor)).decode()
    markdown = losses_markdown(history, picture=f"data:image/png;base64,{picture}")
    show("losses", markdown, "Losses of the training, step by step")


def finetuned_model(weights: Weights, base: ModelReference) -> ModelReference:
    """The fine-tuned model, for generating samples."""
    return ModelReference.in_folder(
        weights.folder / "model", name=f"{base.name}, fine-tuned", type=base.type, sha256=weights.model_sha256
    )
