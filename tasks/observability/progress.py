"""Progress of long tasks: a bar in a terminal, lines in the run's log, and an artifact in the Prefect UI.

The commands of a release import this module, so Prefect is imported only where an artifact is made.
"""

import contextlib
import contextvars
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tqdm import tqdm

if TYPE_CHECKING:
    from uuid import UUID

    from tasks.modeling.finetuning import Progress

SECONDS_BETWEEN_UPDATES = 2.0
LAST_UPDATE_S = 5.0
"""How long the task waits at its end for the last update."""


@contextmanager
def transfer_bar(description: str) -> Iterator[Callable[[int, int], None]]:
    """A bar with bytes and speed, on a terminal only; yields a function that takes the bytes done and the total.

    Any thread may call that function, one call at a time.
    """
    with tqdm(desc=description, unit="B", unit_scale=True, unit_divisor=1024, disable=None, leave=False) as bar:

        def update(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield update


class ProgressArtifact:
    """A progress bar on the page of the run in the Prefect UI.

    A thread of its own sends the updates, so they neither delay the task nor fail it. While the server is slow or
    unavailable, updates are dropped; if it is unavailable at the start, there is no artifact.
    """

    def __init__(self, key: str, description: str) -> None:
        from tasks.observability.artifacts import SERVER_IS_AWAY, create

        self._id: UUID | None = None
        with contextlib.suppress(*SERVER_IS_AWAY):
            self._id = create("progress", 0.0, key, description).id
        self._context = contextvars.copy_context()  # Prefect's settings in it name the API; a new thread has none
        self._updated = 0.0
        self._sending: threading.Thread | None = None

    def update(self, done: float, total: float) -> None:
        """Show that `done` of `total` is done; any thread may call this as often as it likes, one call at a time."""
        now, last = time.monotonic(), done >= total
        if self._id is None or not (last or now - self._updated > SECONDS_BETWEEN_UPDATES):
            return
        if last:
            self._wait()
        if self._sending is not None and self._sending.is_alive():
            return  # the server is slow; a later update shows the progress
        self._updated = now
        progress = 100.0 * done / total if total else 100.0
        run = self._context.copy().run
        self._sending = threading.Thread(target=run, args=(self._send, self._id, progress), daemon=True)
        self._sending.start()
        if last:
            self._wait()

    def _wait(self) -> None:
        if self._sending is not None:
            self._sending.join(LAST_UPDATE_S)

    @staticmethod
    def _send(artifact: "UUID", progress: float) -> None:
        from prefect.artifacts import update_progress_artifact

        from tasks.observability.artifacts import SERVER_IS_AWAY

        with contextlib.suppress(*SERVER_IS_AWAY):
            update_progress_artifact(artifact, progress=progress)


class TrainingProgress:
    """Shows a training while the block runs: a bar, an artifact, and a log line for each held-out loss."""

    def __init__(self) -> None:
        self._bar: tqdm[None] | None = None
        self._artifact: ProgressArtifact | None = None
        self._last: dict[str, float] = {}
        """The last entry of the training's history that has a training loss."""

    def __enter__(self) -> "TrainingProgress":
        self._artifact = ProgressArtifact("training", "Steps of the training")
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def report(self, progress: "Progress") -> None:
        """Show how far the training is."""
        if self._bar is None:
            self._bar = tqdm(total=progress.steps, desc="training", unit="step", disable=None, leave=False)
        self._bar.update(progress.step - self._bar.n)
        entry = progress.entry or {}
        if "loss" in entry:
            self._last = entry
        if "eval_loss" in entry:
            self._log(progress, entry["eval_loss"])
        if self._artifact is not None:
            self._artifact.update(progress.step, progress.steps)

    def _log(self, progress: "Progress", eval_loss: float) -> None:
        last = self._last
        of_the_step = (
            f", loss {last['loss']:.3f}, learning rate {last['learning_rate']:.2e}, gradient norm "
            f"{last['grad_norm']:.2f}, {last['tokens_per_second']:,.0f} tokens/s"
            if last
            else ""
        )
        with tqdm.external_write_mode():
            print(f"training: step {progress.step:,} of {progress.steps:,}, held-out loss {eval_loss:.3f}{of_the_step}")
            for prompt, text in progress.samples:
                print(f"training: step {progress.step:,} writes {prompt!r} -> {text!r}")
