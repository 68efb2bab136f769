"""Progress artifact: how far a long task is, in the Prefect UI.

What comes in: fractions, as often as one likes and from any thread. What it leaves: an artifact that is updated every
few seconds, and a last time at the end. It never holds the task up and never ends it: updates are sent by a thread of
their own, and what a server that is away does not get to know is left out.
"""

import contextlib
import contextvars
import threading
import time
from uuid import UUID

from prefect.artifacts import update_progress_artifact

from tasks.observability.artifacts import SERVER_IS_AWAY, create

SECONDS_BETWEEN_UPDATES = 2.0
LAST_UPDATE_S = 5.0
"""How long the end of the task waits for its last update."""


class ProgressArtifact:
    """An artifact of the run that a person started; there is none where the server is away just then."""

    def __init__(self, key: str, description: str) -> None:
        self._id: UUID | None = None
        with contextlib.suppress(*SERVER_IS_AWAY):
            self._id = create("progress", 0.0, key, description).id
        self._context = contextvars.copy_context()  # Prefect's: another thread does not know the API otherwise
        self._updated = 0.0
        self._sending: threading.Thread | None = None

    def update(self, done: float, total: float) -> None:
        """So much of `total` is done; one call at a time."""
        now, last = time.monotonic(), done >= total
        if self._id is None or not (last or now - self._updated > SECONDS_BETWEEN_UPDATES):
            return
        if last:
            self._wait()
        if self._sending is not None and self._sending.is_alive():
            return  # the server is slow: the next update will say more
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
    def _send(artifact: UUID, progress: float) -> None:
        with contextlib.suppress(*SERVER_IS_AWAY):
            update_progress_artifact(artifact, progress=progress)
