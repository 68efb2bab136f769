from typing import Any

import yaml

from tasks.evaluation.reports.model_card import MAX_PAIRS, model_card
from tasks.evaluation.text import Pair

PAIRS = [Pair("you can", seed, f"before {seed}", f"after {seed}") for seed in range(2)]


def facts(**changed: Any) -> dict[str, Any]:
    return {
        "base_model": "scratch-tiny", "base_model_revision": None, "base_model_sha256": "5" * 64,
        "corpus": {
            "sha256": "1" * 64, "documents": 12, "train_documents": 11, "eval_documents": 1, "duplicates": 3,
            "derivations": 48,
        },
        "tokens": {"block_size": 32, "train_blocks": 3, "eval_blocks": 1, "train_tokens": 90, "eval_tokens": 8},
        "steps": 1200, "epochs": 2.5, "best_step": 40, "precision": "fp32", "processes": 1,
        "loss_before": 6.0, "loss_after": 5.5, "loss_floor": 0.25, "perplexity": 244.69, "nats_per_document": 110.0,
        "samples": {"written": 8, "valid_before": 0, "valid_after": 7},
        "git_commit": "c0ffee", "git_changed": True, "python": "3.11.9", "libraries": {"torch": "2.13.0"}, **changed,
    }  # fmt: skip


def test_the_card_has_front_matter_that_hubs_can_read() -> None:
    _, front, body = model_card("cheese", facts(), PAIRS).split("---\n", maxsplit=2)
    assert yaml.safe_load(front) == {
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "tags": ["spinneret", "happytransformer"],
    }
    assert body.startswith("# cheese\n")


def test_a_base_model_of_a_hub_is_named_with_its_commit() -> None:
    text = model_card("n", facts(base_model="EleutherAI/gpt-neo-125m", base_model_revision="abc123"), PAIRS)
    assert yaml.safe_load(text.split("---\n")[1])["base_model"] == "EleutherAI/gpt-neo-125m"
    assert "| base model's commit | <code>abc123</code> |" in text


def test_the_card_states_what_the_model_was_made_of_and_how_good_it_is() -> None:
    text = model_card("cheese", facts(), PAIRS)
    for said in (
        "Fine-tuned from <code>scratch-tiny</code>", "12 documents of 48 derivations: 11 to train on, 1 held out",
        "1" * 64, "90 in 3 blocks of 32 to train on", "1,200 optimizer steps, 2.5 epochs, fp32, the best of them after",
        "| held-out loss before | 6.0000 nats a token |", "| held-out loss after | 5.5000 nats a token (perpl",
        "| loss floor | 0.2500 nats a token", "| held-out document | 110.000 nats |", "0 before, 7 after, of 8",
        "<code>c0ffee</code> and changes that were not committed", "| torch | 2.13.0 |", "| Python | 3.11.9 |",
        "| before 1 | after 1 |", "--config parameters.yaml",
    ):  # fmt: skip
        assert said in text


def test_what_is_not_known_is_not_claimed() -> None:
    own_text = facts(
        loss_floor=None, nats_per_document=None, samples={"written": 8, "valid_before": None, "valid_after": None},
        corpus={**facts()["corpus"], "derivations": None}, git_commit=None, git_changed=None, best_step=None,
    )  # fmt: skip
    text = model_card("n", own_text, PAIRS)
    for claim in ("floor", "held-out document", "sentences of the template", "derivations", "not committed", "best"):
        assert claim not in text
    assert "| git commit | not known |" in text


def test_the_card_shows_some_samples_and_says_how_many_more_there_are() -> None:
    pairs = [Pair("you can", seed, "b", "a") for seed in range(MAX_PAIRS + 1_000)]
    text = model_card("n", facts(), pairs)
    assert text.count("| b | a |") == MAX_PAIRS
    assert "1,000 more stand in `samples.json`" in text


def test_nothing_breaks_out_of_its_place() -> None:
    text = model_card("n", facts(base_model="x</code>\n# y | z"), [Pair("p", 0, "a | b\n# c", "<script>")])
    assert "<script>" not in text
    assert "\n# y" not in text
    assert "\n# c" not in text
