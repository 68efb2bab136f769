"""Weights: a base model and token blocks in, a fine-tuned model out.

What comes in: references to both, and the training parameters. What it leaves: `data/weights/<key>/` with `model/` (as
Hugging Face lays out a model folder) and `history.json`. In the UI the training shows a progress artifact.
"""

import json
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

from prefect import task
from prefect.artifacts import create_progress_artifact, update_progress_artifact
from tqdm import tqdm

from tasks.caching import content_key
from tasks.folders import Facts, digest, list_files
from tasks.parameters import TrainingParameters
from tasks.references import ModelReference, TokenBlocks, Weights
from tasks.tokens import load_rows

if TYPE_CHECKING:
    from tasks.modeling.finetuning import Progress

VERSION = 1
_CHANGES_NOTHING = {
    "save_preprocessed_data",
    "save_preprocessed_data_path",
    "load_preprocessed_data",
    "load_preprocessed_data_path",
    "preprocessing_processes",
}
"""Training parameters that belong to the tokens: they change no weight."""


def weights_key(tokens: TokenBlocks, base: ModelReference, training: TrainingParameters) -> str:
    """The key of the weights: the blocks, the base model and each parameter that changes the training."""
    return digest("weights", VERSION, tokens.sha256, base.sha256, training.model_dump(exclude=_CHANGES_NOTHING))


@task(
    name="make weights",
    cache_policy=content_key(Weights, weights_key),
    persist_result=True,
    result_serializer="json",
)
def make_weights(tokens: TokenBlocks, base: ModelReference, training: TrainingParameters) -> Weights:
    """Fine-tune the base model; no retry, since the same training would fail again."""
    made = Weights.make(weights_key(tokens, base, training), partial(_fill, tokens, base, training))
    print(f"weights: {made.describe()}")
    return made


def finetuned_model(weights: Weights, base: ModelReference) -> ModelReference:
    """The fine-tuned model as something to sample from."""
    return ModelReference.in_folder(
        weights.folder / "model", name=f"{base.name}, fine-tuned", type=base.type, sha256=weights.model_sha256
    )


def _fill(tokens: TokenBlocks, base: ModelReference, training: TrainingParameters, folder: Path) -> Facts:
    from tasks.modeling.finetuning import check_device, finetune
    from tasks.modeling.happy import TunableGeneration
    from tasks.modeling.recipes import choose_recipe

    check_device(training)
    recipe = choose_recipe(training, preset=base.preset, blocks=tokens.train_blocks)
    print(
        f"training: learning_rate={recipe.learning_rate:g} batch_size={recipe.batch_size} "
        f"num_train_epochs={training.num_train_epochs:g} schedule={recipe.lr_scheduler_type} "
        f"warmup_ratio={recipe.warmup_ratio:g} weight_decay={training.weight_decay:g} seed={training.seed}"
    )
    generator = TunableGeneration(base.type, base.load_from, revision=base.revision)
    with _Reporter() as reporter:
        outcome = finetune(
            generator,
            load_rows(tokens, "train"),
            load_rows(tokens, "eval"),
            folder / "model",
            training=training,
            recipe=recipe,
            on_progress=reporter.report,
        )
    (folder / "history.json").write_text(json.dumps(outcome.history, indent=1) + "\n", encoding="utf-8")
    return {
        "model_sha256": digest(list_files(folder / "model")),
        "steps": outcome.steps,
        "epochs": outcome.epochs,
        "loss_before": outcome.loss_before,
        "loss_after": outcome.loss_after,
        "seconds": outcome.seconds,
    }


class _Reporter:
    """Training progress: a bar where a person looks on, a line a tenth in the log, an artifact in the UI."""

    SECONDS_BETWEEN_UPDATES = 2.0

    def __init__(self) -> None:
        self._bar: tqdm[None] | None = None
        self._artifact: UUID | None = None
        self._updated = 0.0
        self._told = 0

    def __enter__(self) -> "_Reporter":
        self._artifact = create_progress_artifact(progress=0.0, key="training", description="Steps of the training")  # type: ignore[assignment]
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def report(self, progress: "Progress") -> None:
        """Show where the training is."""
        if self._bar is None:
            self._bar = tqdm(total=progress.steps, desc="training", unit="step", disable=None, leave=False)
        self._bar.update(progress.step - self._bar.n)
        if progress.loss is not None:
            self._tell(progress)
        self._update_artifact(progress)

    def _tell(self, progress: "Progress") -> None:
        """A line in the run's log each time another tenth of the training is done."""
        tenth = 10 * progress.step // progress.steps
        if tenth > self._told:
            self._told = tenth
            with tqdm.external_write_mode():
                print(
                    f"training: step {progress.step:,} of {progress.steps:,}, loss {progress.loss:.3f}, "
                    f"learning rate {progress.learning_rate:.2e}, gradient norm {progress.grad_norm:.2f}"
                )

    def _update_artifact(self, progress: "Progress") -> None:
        now = time.monotonic()
        last = progress.step == progress.steps
        if self._artifact is not None and (last or now - self._updated > self.SECONDS_BETWEEN_UPDATES):
            self._updated = now
            update_progress_artifact(self._artifact, progress=100.0 * progress.step / progress.steps)
