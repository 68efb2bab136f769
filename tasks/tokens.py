"""Tokens: a corpus and a tokenizer in, blocks of token ids out, as JSON that a person can read.

What comes in: a corpus and the base model, whose tokenizer it is. What it leaves: `data/tokens/<key>/` with
`train.json` and `eval.json` (blocks of ids), `preview.json` (the first documents as text, token strings and ids) and
nothing lost: each document's tokens and its end-of-text token are in exactly one place.
"""

from collections.abc import Iterable, Sequence
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks.caching import content_key
from tasks.dataset import (
    Row,
    block_size_warning,
    choose_block_size,
    file_digest,
    pack,
    read_blocks,
    read_jsonl_documents,
    read_preprocessed,
    rows,
    write_blocks,
    write_preprocessed,
    write_preview,
)
from tasks.errors import InputError
from tasks.folders import Facts, digest
from tasks.parameters import TokenParameters, TrainingParameters
from tasks.references import Corpus, ModelReference, TokenBlocks
from tasks.settings import find_file

VERSION = 2
PREVIEWED = 20
"""Documents in the preview."""


def tokens_key(corpus: Corpus, base: ModelReference, tokens: TokenParameters, training: TrainingParameters) -> str:
    """The key of the blocks: the corpus's and the model's content and the block size."""
    loaded = None
    if training.load_preprocessed_data:
        loaded = file_digest(find_file(training.load_preprocessed_data_path))
    return digest("tokens", VERSION, corpus.sha256, base.sha256, tokens.block_size, loaded)


@task(
    name="make tokens",
    cache_policy=content_key(TokenBlocks, tokens_key),
    persist_result=True,
    result_serializer="json",
)
def make_tokens(
    corpus: Corpus, base: ModelReference, tokens: TokenParameters, training: TrainingParameters
) -> TokenBlocks:
    """Tokenize and pack the corpus, or take the blocks of a preprocessed file."""
    fill = partial(_fill_from_file, base, training) if training.load_preprocessed_data else None
    fill = fill or partial(_fill_from_corpus, corpus, base, tokens, training.preprocessing_processes)
    made = TokenBlocks.make(tokens_key(corpus, base, tokens, training), fill)
    print(f"tokens: {made.describe()}")
    warning = block_size_warning(made.train_blocks, block_size=made.block_size)
    if warning:
        print(f"tokens: warning: {warning}")
    return made


@task(name="save preprocessed data", cache_policy=NO_CACHE, persist_result=False)
def save_preprocessed(tokens: TokenBlocks, training: TrainingParameters) -> None:
    """Write the file of Happy Transformer 2.x where `save_preprocessed_data` asks for it."""
    if training.save_preprocessed_data:
        path = Path(training.save_preprocessed_data_path).expanduser()
        write_preprocessed(path, load_rows(tokens, "train"), load_rows(tokens, "eval"))
        print(f"tokens: saved as Happy Transformer 2.x does, in {path}")


def load_rows(tokens: TokenBlocks, split: str) -> list[Row]:
    """The rows of `train` or `eval`, each `block_size` long, pads masked and not learned."""
    file = read_blocks(tokens.folder / f"{split}.json")
    return rows(file.blocks, block_size=tokens.block_size, pad_token_id=int(file.header["pad_token_id"]))


def _fill_from_corpus(
    corpus: Corpus, base: ModelReference, tokens: TokenParameters, processes: int, folder: Path
) -> Facts:
    from tasks.modeling.tokenization import load_positions, load_tokenizer, tokenize

    tokenizer = load_tokenizer(base.load_from, base.revision)
    paths = {split: corpus.folder / f"{split}.jsonl" for split in ("train", "eval")}
    ids = {
        split: list(tokenize(read_jsonl_documents(path), tokenizer, processes=processes))
        for split, path in paths.items()
    }
    lengths = [len(document) + 1 for document in chain(ids["train"], ids["eval"])]
    block_size = _block_size(tokens, load_positions(base.load_from, base.revision), lengths[: len(ids["train"])])
    blocks = {split: pack(ids[split], eos_token_id=tokenizer.eos_token_id, block_size=block_size) for split in ids}
    shown = zip(islice(read_jsonl_documents(paths["train"]), PREVIEWED), ids["train"], strict=False)
    write_preview(
        folder / "preview.json",
        ({"text": text, "tokens": tokenizer.convert_ids_to_tokens(some), "ids": some} for text, some in shown),
    )
    over = sum(length > block_size for length in lengths)
    return {
        **_write(folder, blocks, block_size, tokenizer),
        "longest_document": max(lengths),
        "documents_over_block": over,
    }


def _fill_from_file(base: ModelReference, training: TrainingParameters, folder: Path) -> Facts:
    """The blocks of a preprocessed file; what its labels leave out (pads) is left out."""
    from tasks.modeling.tokenization import load_positions, load_tokenizer

    tokenizer = load_tokenizer(base.load_from, base.revision)
    path = find_file(training.load_preprocessed_data_path)
    room = load_positions(base.load_from, base.revision)
    train, evaluation = read_preprocessed(path, vocab_size=len(tokenizer), max_positions=room)
    if not evaluation:
        raise InputError(f"{path}: there are no held-out rows under 'eval', so no loss can be measured; add some.")
    blocks = {"train": _unpadded(train), "eval": _unpadded(evaluation)}
    return _write(folder, blocks, max(map(len, blocks["train"] + blocks["eval"])), tokenizer)


def _unpadded(some_rows: Iterable[Row]) -> list[list[int]]:
    return [
        [token for token, mask in zip(row["input_ids"], row["attention_mask"], strict=True) if mask]
        for row in some_rows
    ]


def _block_size(tokens: TokenParameters, room: int, lengths: Sequence[int]) -> int:
    if tokens.block_size is not None and tokens.block_size > room:
        raise InputError(
            f"--tokens.block-size {tokens.block_size:,} is more than the {room:,} positions of the model; "
            f"use {room:,} or less, or leave it out."
        )
    return tokens.block_size or choose_block_size(lengths, max_positions=room)


def _write(folder: Path, blocks: dict[str, list[list[int]]], block_size: int, tokenizer: Any) -> Facts:
    counts: dict[str, int] = {"block_size": block_size}
    for split, some in blocks.items():
        counts |= {f"{split}_blocks": len(some), f"{split}_tokens": sum(map(len, some))}
        pad = tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id
        header = {"block_size": block_size, "eos_token_id": tokenizer.eos_token_id, "pad_token_id": pad}
        write_blocks(folder / f"{split}.json", some, {**header, "tokens": counts[f"{split}_tokens"]})
    return counts
