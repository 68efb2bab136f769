"""The model card of a release."""

from typing import Any

import yaml

from tasks.evaluation.reports.model_card import MAX_SAMPLES, model_card


def sample(seed: int, before: str, after: str, prompt: str = "you can") -> dict[str, Any]:
    """A sample as `samples.json` has it."""
    return {"prompt": prompt, "seed": seed, "before": before, "after": after, "flags": []}


SAMPLES = [sample(seed, f"before {seed}", f"after {seed}") for seed in range(2)]


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
    _, front, body = model_card("cheese", facts(), SAMPLES).split("---\n", maxsplit=2)
    assert yaml.safe_load(front) == {
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "tags": ["spinneret", "happytransformer"],
    }
    assert body.startswith("# cheese\n")


def test_a_base_model_of_a_hub_is_named_with_its_commit() -> None:
    text = model_card("n", facts(base_model="EleutherAI/gpt-neo-125m", base_model_revision="abc123"), SAMPLES)
    assert yaml.safe_load(text.split("---\n")[1])["base_model"] == "EleutherAI/gpt-neo-125m"
    assert "| base model's commit | <code>abc123</code> |" in text


def test_the_card_states_what_the_model_was_made_of_and_how_good_it_is() -> None:
    text = model_card("cheese", facts(), SAMPLES)
    for said in (
        "Fine-tuned from <code>scratch-tiny</code>", "12 documents of 48 derivations: 11 for training, 1 held out",
        "1" * 64, "90 in 3 blocks of 32 for training", "1,200 optimizer steps, 2.500 epochs, fp32, best after step 40",
        "| held-out loss before | 6 nats per token |", "| held-out loss after | 5.500 nats per token (perpl",
        "| loss floor | 0.2500 nats per token", "| held-out document | 110 nats |", "0 before, 7 after, of 8",
        "<code>c0ffee</code> with uncommitted changes", "| torch | 2.13.0 |", "| Python | 3.11.9 |",
        "| before 1 | after 1 |", "--config parameters.yaml",
    ):  # fmt: skip
        assert said in text


def test_unknown_figures_are_left_out() -> None:
    of_text_files = facts(
        loss_floor=None, nats_per_document=None, samples={"written": 8, "valid_before": None, "valid_after": None},
        corpus={**facts()["corpus"], "derivations": None}, git_commit=None, git_changed=None, best_step=None,
    )  # fmt: skip
    text = model_card("n", of_text_files, SAMPLES)
    for claim in ("floor", "held-out document", "template can produce", "derivations", "uncommitted", "best"):
        assert claim not in text
    assert "| git commit | unknown |" in text


def test_the_card_shows_some_samples_and_says_how_many_more_there_are() -> None:
    samples = [sample(seed, "b", "a") for seed in range(MAX_SAMPLES + 1_000)]
    text = model_card("n", facts(), samples)
    assert text.count("| b | a |") == MAX_SAMPLES
    assert "`samples.json` has 1,000 more." in text


def test_no_text_breaks_out_of_its_cell_or_of_the_front_matter() -> None:
    text = model_card("n", facts(base_model="x</code>\n# y | z"), [sample(0, "a | b\n# c", "<script>", prompt="p")])
    assert "<script>" not in text
    assert "\n# y" not in text
    assert "\n# c" not in text
    hostile = "x\n---\nlicense: mit\n{{ name }}{% raw %}"
    text = model_card(hostile, facts(base_model=hostile), [sample(0, hostile, hostile, prompt=hostile)])
    _, front, body = text.split("---\n", maxsplit=2)
    assert set(yaml.safe_load(front)) == {"library_name", "pipeline_tag", "tags"}
    assert "\nlicense" not in body
    assert body.count("{{ name }}{% raw %}") == 5, "a text is never rendered as a template"
