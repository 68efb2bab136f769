"""Provenance: which code and which libraries made something.

What comes in: the checkout and the environment of this process. What it leaves: names and versions; no path, no host,
no time.
"""

import platform
import subprocess
from importlib import metadata
from typing import Any

from tasks.settings import ROOT, settings

LIBRARIES = ("prefect", "happytransformer", "transformers", "tokenizers", "accelerate", "torch", "pandas", "boto3")
_LIMIT_S = 10


def provenance() -> dict[str, Any]:
    """What this process runs: `git_commit`, `git_changed`, `python`, `libraries`.

    Outside of a checkout `git_commit` is SPINNERET_COMMIT, which a container image states, or None; `git_changed` says
    whether tracked files differed from it.
    """
    checked_out = _git("rev-parse", "HEAD")
    commit = checked_out or settings().commit or None
    changes = None if checked_out is None else _git("status", "--porcelain", "--untracked-files=no")
    return {
        "git_commit": commit,
        "git_changed": None if changes is None else bool(changes),
        "python": platform.python_version(),
        "libraries": {name: metadata.version(name) for name in LIBRARIES},
    }


def _git(*words: str) -> str | None:
    """What git says of the checkout; None where there is no git or no checkout."""
    command = ["git", "-C", str(ROOT), *words]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=_LIMIT_S)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
