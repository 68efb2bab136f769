"""Saving of models and tokenizers, with one sentence for a full disk."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tasks.disk import NO_SPACE, no_space_message
from tasks.errors import InputError

_OS_ERROR = re.compile(r"\(os error (\d+)\)")
"""safetensors and tokenizers, written in Rust, raise their own exceptions, with the errno in the message only."""
_TORCH_WRITER = re.compile(r"PytorchStreamWriter failed writing|inline_container\.cc.* unexpected pos", re.DOTALL)
"""torch.save raises a RuntimeError without an errno if a file could not be written completely."""


def save_model(model: Any, tokenizer: Any, folder: Path) -> None:
    """Write both to `folder`; InputError if the disk or the user's quota is full."""
    with explain_full_disk(folder):
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)


@contextmanager
def explain_full_disk(folder: Path) -> Iterator[None]:
    """Turn what the writers of models raise for a full disk into InputError."""
    try:
        yield
    except Exception as error:
        if _errno(error) not in NO_SPACE and not _TORCH_WRITER.search(str(error)):
            raise
        raise InputError(no_space_message(folder)) from error


def _errno(error: Exception) -> int | None:
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno
    match = _OS_ERROR.search(str(error))
    return int(match[1]) if match else None
