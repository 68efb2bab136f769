"""Provenance: the commit and the library versions that produced something, without paths, hosts or times."""

import platform
import subprocess
from importlib import metadata
from typing import Any

from tasks.settings import ROOT, settings

LIBRARIES = ("prefect", "happytransformer", "transformers", "tokenizers", "accelerate", "torch", "pandas", "boto3")
_LIMIT_S = 10


def provenance() -> dict[str, Any]:
    """`git_commit`, `git_changed`, `python` and `libraries` of this process.

    Outside of a checkout `git_commit` is SPINNERET_COMMIT, which a container image sets, or None; `git_changed` says
    whether tracked files differ from the commit.
    """
    checked_out = _git("rev-parse", "HEAD")
    changes = None if checked_out is None else _git("status", "--porcelain", "--untracked-files=no")
    return {
        "git_commit": checked_out or settings().commit or None,
        "git_changed": None if changes is None else bool(changes),
        "python": platform.python_version(),
        "libraries": {name: metadata.version(name) for name in LIBRARIES},
    }


def _git(*arguments: str) -> str | None:
    """The output of a git command in the checkout; None without git or outside of a checkout."""
    command = ["git", "-C", str(ROOT), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=_LIMIT_S)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
