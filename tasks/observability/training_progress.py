"""Training progress: what a person sees while a model is trained.

What comes in: where the training is, step by step. What it leaves: a bar where a person looks on, a line for each
measurement of the held-out loss in the run's log, and a progress artifact in the UI.
"""

from typing import TYPE_CHECKING

from tqdm import tqdm

from tasks.observability.progress_artifact import ProgressArtifact

if TYPE_CHECKING:
    from tasks.modeling.finetuning import Progress


class Reporter:
    """Shows progress while the block runs."""

    def __init__(self) -> None:
        self._bar: tqdm[None] | None = None
        self._artifact: ProgressArtifact | None = None
        self._trained: dict[str, float] = {}

    def __enter__(self) -> "Reporter":
        self._artifact = ProgressArtifact("training", "Steps of the training")
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def report(self, progress: "Progress") -> None:
        """Show where the training is."""
        if self._bar is None:
            self._bar = tqdm(total=progress.steps, desc="training", unit="step", disable=None, leave=False)
        self._bar.update(progress.step - self._bar.n)
        entry = progress.entry or {}
        if "loss" in entry:
            self._trained = entry
        if "eval_loss" in entry:
            self._tell(progress, entry["eval_loss"])
        if self._artifact is not None:
            self._artifact.update(progress.step, progress.steps)

    def _tell(self, progress: "Progress", eval_loss: float) -> None:
        """A line in the run's log."""
        trained = self._trained
        of_the_step = (
            f", loss {trained['loss']:.3f}, learning rate {trained['learning_rate']:.2e}, gradient norm "
            f"{trained['grad_norm']:.2f}, {trained['tokens_per_second']:,.0f} tokens/s"
            if trained
            else ""
        )
        with tqdm.external_write_mode():
            print(f"training: step {progress.step:,} of {progress.steps:,}, held-out loss {eval_loss:.3f}{of_the_step}")
            for prompt, text in progress.samples:
                print(f"training: step {progress.step:,} writes {prompt!r} -> {text!r}")
