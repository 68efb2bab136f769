"""Recognises a full disk, for every module that writes files."""

import errno
import shutil
from pathlib import Path

NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""Error numbers of a full disk, a reached quota and a file that is too large."""


def no_space_message(folder: Path) -> str:
    """The sentence for a full disk."""
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    free = shutil.disk_usage(existing).free / 2**20
    return (
        f"The disk is full: {folder} could not be written ({free:,.0f} MiB free); nothing half-written was left. "
        "Free some space, or set SPINNERET_DATA to a folder on another disk."
    )
