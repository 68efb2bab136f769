"""Documents, corpus, blocks: everything that happens to text before a model sees it.

What comes in: your files or any iterable of texts. What it leaves: a normalised, distinct, shuffled and split corpus,
blocks of token ids, and readable files of both. No model, no tokenizer and no workflow engine is imported here, and
pandas and pyarrow only when a table is read.
"""

from tasks.dataset.mixing import share_out
from tasks.dataset.normalisation import document_digest, normalise
from tasks.dataset.packing import TokenRun, block_size_warning, choose_block_size
from tasks.dataset.preparation import Counts, prepare
from tasks.dataset.preprocessed_files import IGNORED_LABEL, Row, read_preprocessed, stream_rows, write_preprocessed
from tasks.dataset.readers import DOCUMENT_SUFFIXES, read_documents, read_jsonl_documents
from tasks.dataset.text_files import write_documents
from tasks.dataset.token_files import (
    BlockArray,
    Header,
    PreviewEntry,
    read_block_array,
    stream_blocks,
    write_blocks,
    write_preview,
)

__all__ = [
    "DOCUMENT_SUFFIXES",
    "IGNORED_LABEL",
    "BlockArray",
    "Counts",
    "Header",
    "PreviewEntry",
    "Row",
    "TokenRun",
    "block_size_warning",
    "choose_block_size",
    "document_digest",
    "normalise",
    "prepare",
    "read_block_array",
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
