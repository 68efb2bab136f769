r"""The corpus on disk: JSONL, one {"text": "…"} a line.

What comes in: documents. What it leaves: a file that people can read and that can be fed back as one's own text;
a document may hold newlines, which JSON writes as \n, so that a line of the file is always one document.
"""

import json
from collections.abc import Iterable
from pathlib import Path

from tasks.dataset.readers import jsonl_documents
from tasks.dataset.text_files import write_whole


def write_documents(path: Path, documents: Iterable[str]) -> int:
    r"""Write one JSON object a line, in order, UTF-8 with "\n" line ends; return how many.

    The file is whole or absent. InputError if its folder is missing or cannot be written to.
    """
    written = 0
    with write_whole(path) as stream:
        for document in documents:
            stream.write(json.dumps({"text": document}, ensure_ascii=False) + "\n")
            written += 1
    return written


def read_jsonl_documents(path: Path) -> list[str]:
    """Return what write_documents wrote, unchanged and in order; InputError with file and line if it is damaged."""
    return list(jsonl_documents(path))
