"""Full disk: how it is recognised and what is said of it, in every room that writes files.

What comes in: the folder that could not be written. What it leaves: one sentence with the space that is left.
"""

import errno
import shutil
from pathlib import Path

NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""Error numbers that mean that no more can be written: disk full, quota reached, file too large."""


def no_space_message(folder: Path) -> str:
    """The sentence for a full disk."""
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    free = shutil.disk_usage(existing).free / 2**20
    return (
        f"The disk is full: {folder} could not be written ({free:,.0f} MiB free); nothing half-written was left. "
        "Free some space, or set SPINNERET_DATA to a folder on another disk."
    )
