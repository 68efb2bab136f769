"""Tokens: a corpus and a tokenizer in, blocks of token ids out, as JSON that a person can read.

What comes in: a corpus, and the base model with its tokenizer. What it leaves: `data/tokens/<key>/` with `train.json`
and `eval.json` (blocks of ids, one per line) and `preview.json` (the first documents as text, token strings and ids).
No token is lost: each token of a document, and the end-of-text token after it, is in exactly one block.
"""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks.dataset import (
    Header,
    Row,
    TokenRun,
    block_size_warning,
    choose_block_size,
    read_jsonl_documents,
    read_preprocessed,
    stream_blocks,
    stream_rows,
    write_blocks,
    write_preprocessed,
    write_preview,
)
from tasks.errors import InputError
from tasks.observability.logs import log_warning
from tasks.parameters import TokenParameters, TrainingParameters
from tasks.settings import find_file
from tasks.stage.folders import Facts, digest, file_digest
from tasks.stage.references import Corpus, ModelReference, TokenBlocks
from tasks.stage.stage import stage

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

VERSION = 3
SPLITS = ("train", "eval")
PREVIEWED = 20
"""Documents in the preview."""


def tokens_key(corpus_sha256: str, base_sha256: str, tokens: TokenParameters, training: TrainingParameters) -> str:
    """The key of the blocks: the corpus's and the model's content and the block size."""
    loaded = None
    if training.load_preprocessed_data:
        loaded = file_digest(find_file(training.load_preprocessed_data_path))
    return digest("tokens", VERSION, corpus_sha256, base_sha256, tokens.block_size, loaded)


def _warn_of_few_blocks(made: TokenBlocks) -> None:
    warning = block_size_warning(made.train_blocks, block_size=made.block_size)
    if warning:
        log_warning("tokens", warning)


@stage(
    TokenBlocks,
    "make tokens",
    lambda corpus, base, tokens, training: tokens_key(corpus.sha256, base.sha256, tokens, training),
    log_more=_warn_of_few_blocks,
)
def make_tokens(
    folder: Path, corpus: Corpus, base: ModelReference, tokens: TokenParameters, training: TrainingParameters
) -> Facts:
    """Tokenize and pack the corpus, or take the blocks of a preprocessed file."""
    if training.load_preprocessed_data:
        return _blocks_of_file(base, training, folder)
    return _blocks_of_corpus(corpus, base, tokens, training.preprocessing_processes, folder)


@task(name="save preprocessed data", cache_policy=NO_CACHE, persist_result=False)
def save_preprocessed(tokens: TokenBlocks, training: TrainingParameters) -> None:
    """Write the file of Happy Transformer 2.x where `save_preprocessed_data` asks for it."""
    if training.save_preprocessed_data:
        path = Path(training.save_preprocessed_data_path).expanduser()
        write_preprocessed(path, _stream_rows(tokens, "train"), _stream_rows(tokens, "eval"))
        print(f"tokens: saved as Happy Transformer 2.x does, in {path}")


def _stream_rows(tokens: TokenBlocks, split: str) -> Iterator[Row]:
    header, blocks = stream_blocks(tokens.folder / f"{split}.json")
    return stream_rows(blocks, block_size=tokens.block_size, pad_token_id=header.pad_token_id)


def _blocks_of_corpus(
    corpus: Corpus, base: ModelReference, tokens: TokenParameters, processes: int, folder: Path
) -> Facts:
    """Tokenize once, into a run of ids on disk, whose lengths decide the block size."""
    from tasks.modeling.tokenization import load_positions, load_tokenizer, tokenize

    tokenizer = load_tokenizer(base.load_from, base.revision)
    positions = load_positions(base.load_from, base.revision)
    _check_block_size(tokens, positions)
    train = corpus.folder / "train.jsonl"
    shown = list(islice(read_jsonl_documents(train), PREVIEWED))
    write_preview(
        folder / "preview.json",
        (
            {"text": text, "tokens": tokenizer.convert_ids_to_tokens(ids), "ids": ids}
            for text, ids in zip(shown, tokenize(shown, tokenizer), strict=True)
        ),
    )
    with ExitStack() as stack:
        runs = {split: stack.enter_context(TokenRun(folder, eos_token_id=tokenizer.eos_token_id)) for split in SPLITS}
        for split, run in runs.items():
            _tokenize_into(run, corpus.folder / f"{split}.jsonl", tokenizer, processes)
        block_size = tokens.block_size or choose_block_size(runs["train"].documents, max_positions=positions)
        facts: dict[str, int] = {}
        for split, run in runs.items():
            header = _header(block_size, run.tokens, tokenizer)
            facts |= _write(folder / f"{split}.json", run.blocks(block_size), header)
    documents = runs["train"].documents + runs["eval"].documents
    return {
        **facts,
        "longest_document": max(documents),
        "documents_over_block": sum(some for length, some in documents.items() if length > block_size),
    }


def _tokenize_into(run: TokenRun, documents: Path, tokenizer: Any, processes: int) -> None:
    from tasks.modeling.tokenization import tokenize_batches

    texts = read_jsonl_documents(documents)
    with closing(tokenize_batches(texts, tokenizer, processes=processes)) as batches:
        for ids, lengths in batches:
            run.add(ids, lengths)


def _blocks_of_file(base: ModelReference, training: TrainingParameters, folder: Path) -> Facts:
    """The blocks of a preprocessed file, without the padding."""
    from tasks.modeling.tokenization import load_positions, load_tokenizer

    tokenizer = load_tokenizer(base.load_from, base.revision)
    path = find_file(training.load_preprocessed_data_path)
    positions = load_positions(base.load_from, base.revision)
    train, evaluation = read_preprocessed(path, vocab_size=len(tokenizer), max_positions=positions)
    if not evaluation:
        raise InputError(f"{path}: there are no held-out rows under 'eval', so no loss can be measured; add some.")
    blocks = {"train": _unpadded(train), "eval": _unpadded(evaluation)}
    block_size = max(map(len, blocks["train"] + blocks["eval"]))
    facts: dict[str, int] = {}
    for split, some in blocks.items():
        header = _header(block_size, sum(map(len, some)), tokenizer)
        facts |= _write(folder / f"{split}.json", some, header)
    return facts


def _unpadded(some_rows: Iterable[Row]) -> list[list[int]]:
    return [
        [token for token, mask in zip(row["input_ids"], row["attention_mask"], strict=True) if mask]
        for row in some_rows
    ]


def _check_block_size(tokens: TokenParameters, positions: int) -> None:
    if tokens.block_size is not None and tokens.block_size > positions:
        raise InputError(
            f"--tokens.block-size {tokens.block_size:,} is more than the {positions:,} positions of the model; "
            f"use {positions:,} or less, or leave it out."
        )


def _header(block_size: int, tokens: int, tokenizer: Any) -> Header:
    eos, pad = tokenizer.eos_token_id, tokenizer.pad_token_id
    return Header(block_size=block_size, eos_token_id=eos, pad_token_id=eos if pad is None else pad, tokens=tokens)


def _write(path: Path, blocks: "Iterable[list[int] | NDArray[np.int32]]", header: Header) -> dict[str, int]:
    """Write the blocks of a split and return its counts."""
    written = write_blocks(path, blocks, header)
    return {"block_size": header.block_size, f"{path.stem}_blocks": written, f"{path.stem}_tokens": header.tokens}
