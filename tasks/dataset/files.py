r"""The corpus on disk: JSONL, one {"text": "…"} a line.

What comes in: documents. What it leaves: a file that people can read and that can be fed back as one's own text;
a document may hold newlines, which JSON writes as \n, so that a line of the file is always one document.
"""

from collections.abc import Iterable
from itertools import islice
from json.encoder import encode_basestring
from pathlib import Path

from tasks.dataset.text_files import write_whole

_LINES_AT_ONCE = 1000


def write_documents(path: Path, documents: Iterable[str]) -> int:
    r"""Write one JSON object a line, in order, UTF-8 with "\n" line ends; return how many.

    The file is whole or absent. InputError if its folder is missing or cannot be written to.
    """
    written = 0
    remaining = iter(documents)
    with write_whole(path) as stream:
        while lines := [f'{{"text": {encode_basestring(text)}}}\n' for text in islice(remaining, _LINES_AT_ONCE)]:
            stream.write("".join(lines))
            written += len(lines)
    return written
