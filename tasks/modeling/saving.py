"""Saving: a model and its tokenizer in, a model folder out, or a sentence that names the full disk.

What comes in: what has `save_pretrained`. What it leaves: the folder as Hugging Face lays it out. Its writers are
written in Rust and know no errno: they say "No space left on device (os error 28)" in words.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tasks.disk import NO_SPACE, no_space_message
from tasks.errors import InputError

_OS_ERROR = re.compile(r"\(os error (\d+)\)")
_TORCH_WRITER = re.compile(r"PytorchStreamWriter failed writing|inline_container\.cc.* unexpected pos", re.DOTALL)
"""torch.save into a file: it tells no reason, and that the file did not take all bytes is the only one."""


def save_model(model: Any, tokenizer: Any, folder: Path) -> None:
    """Write both to `folder`; raises InputError when the disk (or what this user may write) is full."""
    with full_disk_explained(folder):
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)


@contextmanager
def full_disk_explained(folder: Path) -> Iterator[None]:
    """Whatever the writers of models raise in the block for a full disk becomes InputError."""
    try:
        yield
    except Exception as error:
        if _errno(error) not in NO_SPACE and not _TORCH_WRITER.search(str(error)):
            raise
        raise InputError(no_space_message(folder)) from error


def _errno(error: Exception) -> int | None:
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno
    said = _OS_ERROR.search(str(error))
    return int(said[1]) if said else None
