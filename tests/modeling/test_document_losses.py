"""The loss of a document is that of its tokens and its end of text, whatever other documents are measured."""

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from tasks.modeling import document_losses as module
from tasks.modeling.document_losses import document_losses
from tasks.modeling.happy import TunableGeneration


def by_hand(folder: Path, ids: list[int]) -> float:
    """Negative log-likelihood of all but the first id, in float64."""
    model = AutoModelForCausalLM.from_pretrained(folder).double().eval()
    with torch.inference_mode():
        logits = model(torch.tensor([ids[:-1]])).logits[0]
    return float(-torch.log_softmax(logits, -1).gather(1, torch.tensor(ids[1:])[:, None]).sum())


def test_the_loss_of_a_document_is_that_of_its_tokens_and_its_end_of_text(
    neo: TunableGeneration, neo_folder: Path, texts: list[str]
) -> None:
    end = neo.tokenizer.eos_token_id
    found = document_losses(neo, texts[:4])
    for text, nats, tokens in zip(texts[:4], *found, strict=True):
        ids = [end, *neo.tokenizer(text, verbose=False)["input_ids"], end]
        assert nats == pytest.approx(by_hand(neo_folder, ids), rel=1e-5)
        assert tokens == len(ids) - 1


def test_the_loss_depends_neither_on_order_nor_on_other_documents_nor_on_batches(
    neo: TunableGeneration, texts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    together = document_losses(neo, texts)
    assert document_losses(neo, texts[::-1]).nats[::-1] == pytest.approx(together.nats, rel=1e-6)
    monkeypatch.setattr(module, "MAX_BATCH_TOKENS", 1)
    assert document_losses(neo, texts).nats == pytest.approx(together.nats, rel=1e-6)


def test_a_document_longer_than_the_context_is_read_in_windows(neo: TunableGeneration, neo_folder: Path) -> None:
    end, text = neo.tokenizer.eos_token_id, "you can make a sandwich " * 60
    ids = [end, *neo.tokenizer(text, verbose=False)["input_ids"], end]
    assert len(ids) > 2 * 128
    windows = [ids[start : start + 129] for start in range(0, len(ids) - 1, 128)]
    found = document_losses(neo, [text])
    assert found.tokens == [len(ids) - 1]
    assert found.nats[0] == pytest.approx(sum(by_hand(neo_folder, window) for window in windows), rel=1e-5)


def test_an_empty_document_has_the_loss_of_its_end_of_text(neo: TunableGeneration) -> None:
    assert document_losses(neo, [""]).tokens == [1]
    assert document_losses(neo, []) == ([], [])
