"""Progress artifact: how far a long task is, in the Prefect UI.

What comes in: fractions, as often as one likes and from any thread. What it leaves: an artifact that is updated every
few seconds, and a last time at the end.
"""

import contextvars
import time
from uuid import UUID

from prefect.artifacts import create_progress_artifact, update_progress_artifact

SECONDS_BETWEEN_UPDATES = 2.0


class ProgressArtifact:
    """An artifact of the task run that makes it."""

    def __init__(self, key: str, description: str) -> None:
        self._id: UUID = create_progress_artifact(progress=0.0, key=key, description=description)  # type: ignore[assignment]
        self._context = contextvars.copy_context()  # Prefect's: another thread does not know the API otherwise
        self._updated = 0.0

    def update(self, done: float, total: float) -> None:
        """So much of `total` is done; one call at a time."""
        now = time.monotonic()
        if done >= total or now - self._updated > SECONDS_BETWEEN_UPDATES:
            self._updated = now
            progress = 100.0 * done / total if total else 100.0
            self._context.run(update_progress_artifact, self._id, progress=progress)
