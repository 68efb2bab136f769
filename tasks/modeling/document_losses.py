"""Held-out losses of single documents, by which models with different tokenizers can be compared.

The loss of a document is the negative log-likelihood, in nats, of its tokens and of the end-of-text token after it. It
is computed for each document alone, after an end-of-text token; a document that is longer than the context is read in
windows that do not overlap.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch

from tasks.modeling.blocks import IGNORED_LABEL
from tasks.modeling.happy import TunableGeneration
from tasks.modeling.loading import positions

MAX_BATCH_TOKENS = 4096
"""Including padding; it limits the memory of the logits."""


class DocumentLosses(NamedTuple):
    """One number per document, in order."""

    nats: list[float]
    tokens: list[int]


class _Window(NamedTuple):
    document: int
    ids: list[int]
    """The first one is only read; the others are predicted."""


def document_losses(generator: TunableGeneration, documents: Sequence[str]) -> DocumentLosses:
    """The loss of each document, in full precision; it depends on the other documents only in its last bits."""
    model = generator.model.to(generator.device).eval()
    windows = list(_windows(generator, documents))
    nats, tokens = [0.0] * len(documents), [0] * len(documents)
    for batch in _batches(windows):
        for window, loss in zip(batch, _losses(model, generator.device, batch), strict=True):
            nats[window.document] += loss
            tokens[window.document] += len(window.ids) - 1
    return DocumentLosses(nats, tokens)


def _windows(generator: TunableGeneration, documents: Sequence[str]) -> Iterator[_Window]:
    end, context = generator.tokenizer.eos_token_id, positions(generator.model.config)
    for number, document in enumerate(documents):
        ids = [end, *generator.tokenizer(document, add_special_tokens=False, verbose=False)["input_ids"], end]
        for start in range(0, len(ids) - 1, context):
            yield _Window(number, ids[start : start + context + 1])


def _batches(windows: Sequence[_Window]) -> Iterator[list[_Window]]:
    """Batches of windows of similar length, as many as fit."""
    batch: list[_Window] = []
    for window in sorted(windows, key=lambda window: len(window.ids)):
        if batch and (len(batch) + 1) * len(window.ids) > MAX_BATCH_TOKENS:
            yield batch
            batch = []
        batch.append(window)
    if batch:
        yield batch


@torch.inference_mode()
def _losses(model: torch.nn.Module, device: torch.device, batch: Sequence[_Window]) -> list[float]:
    width = max(len(window.ids) for window in batch) - 1
    ids = torch.zeros(len(batch), width, dtype=torch.long)
    targets = torch.full((len(batch), width), IGNORED_LABEL)
    for row, window in enumerate(batch):
        ids[row, : len(window.ids) - 1] = torch.tensor(window.ids[:-1])
        targets[row, : len(window.ids) - 1] = torch.tensor(window.ids[1:])
    real = targets != IGNORED_LABEL
    logits = model(input_ids=ids.to(device), attention_mask=real.long().to(device)).logits  # [B, T, V]
    losses = torch.nn.functional.cross_entropy(
        logits.float().flatten(0, 1), targets.to(device).flatten(), reduction="none"
    )
    return [float(loss) for loss in losses.view(len(batch), width).double().sum(1)]
