"""Documents, corpus, blocks: everything that happens to text before a model sees it.

What comes in: a user's files or any iterable of texts. What it leaves: a normalised, distinct, shuffled and split
corpus, packed blocks of token ids, and the readable files of both. Plain Python values in and out; no model, no
tokenizer and no workflow engine is imported here, and pandas and pyarrow only when a table is read.
"""

from tasks.dataset.block_arrays import BlockArray, read_block_array, stream_blocks
from tasks.dataset.files import write_documents
from tasks.dataset.mixing import share_out
from tasks.dataset.normalisation import document_digest, normalise
from tasks.dataset.packing import (
    IGNORED_LABEL,
    Row,
    block_size_warning,
    choose_block_size,
    stream_rows,
)
from tasks.dataset.preparation import Counts, prepare
from tasks.dataset.readers import DOCUMENT_SUFFIXES, file_digest, read_documents, read_jsonl_documents
from tasks.dataset.token_files import (
    PreviewEntry,
    TokenFile,
    read_blocks,
    read_preprocessed,
    write_blocks,
    write_preprocessed,
    write_preview,
)
from tasks.dataset.token_runs import TokenRun

__all__ = [
    "DOCUMENT_SUFFIXES",
    "IGNORED_LABEL",
    "BlockArray",
    "Counts",
    "PreviewEntry",
    "Row",
    "TokenFile",
    "TokenRun",
    "block_size_warning",
    "choose_block_size",
    "document_digest",
    "file_digest",
    "normalise",
    "prepare",
    "read_block_array",
    "read_blocks",
    "read_documents",
    "read_jsonl_documents",
    "read_preprocessed",
    "share_out",
    "stream_blocks",
    "stream_rows",
    "write_blocks",
    "write_documents",
    "write_preprocessed",
    "write_preview",
]
