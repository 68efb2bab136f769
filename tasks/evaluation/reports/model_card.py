"""The model card of a release: Markdown with the front matter that model hubs read."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tasks.evaluation.tables import markdown_table
from tasks.evaluation.text import Markdown, markdown_code, markdown_item
from tasks.units import number

_TEMPLATE = Path(__file__).with_suffix(".md.j2")
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
MAX_SAMPLES = 12
"""Samples in the card; `samples.json` has all of them."""


def model_card(name: str, facts: Mapping[str, Any], samples: Sequence[Mapping[str, Any]]) -> str:
    """The card of a release, from the values of its `release.json` and `samples.json`.

    It holds no path of this machine and no time, so the same run gives the same card.
    """
    from huggingface_hub import ModelCard, ModelCardData

    on_hub = facts["base_model_revision"] and _HUB_ID.fullmatch(facts["base_model"])
    card_data = ModelCardData(
        library_name="transformers",
        pipeline_tag="text-generation",
        base_model=facts["base_model"] if on_hub else None,
        tags=["spinneret", "happytransformer"],
    )
    # The template is not escaped by Jinja2: every value is escaped here.
    card = ModelCard.from_template(
        card_data,
        template_str=_TEMPLATE.read_text(encoding="utf-8"),
        name=markdown_item(name),
        base_model=markdown_code(facts["base_model"]),
        about=markdown_table(("", ""), _about(facts)),
        samples=markdown_table(
            ("prompt", "before", "after"),
            [(repr(one["prompt"]), one["before"], one["after"]) for one in samples[:MAX_SAMPLES]],
        ),
        more=number(len(samples) - MAX_SAMPLES) if len(samples) > MAX_SAMPLES else "",
        made_with=markdown_table(("", ""), _made_with(facts)),
    )
    return str(card)


def _about(facts: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    corpus, tokens, samples = facts["corpus"], facts["tokens"], facts["samples"]
    if facts["base_model_revision"]:
        yield "base model's commit", markdown_code(facts["base_model_revision"])
    of = f" of {number(corpus['derivations'])} derivations" if corpus["derivations"] else ""
    yield (
        "corpus",
        f"{number(corpus['documents'])} documents{of}: {number(corpus['train_documents'])} for training, "
        f"{number(corpus['eval_documents'])} held out; {number(corpus['duplicates'])} duplicates were dropped",
    )
    yield "corpus fingerprint", markdown_code(corpus["sha256"])
    yield (
        "tokens",
        f"{number(tokens['train_tokens'])} in {number(tokens['train_blocks'])} blocks of "
        f"{number(tokens['block_size'])} for training, {number(tokens['eval_tokens'])} held out",
    )
    best = f", best after step {number(facts['best_step'])}" if facts["best_step"] else ""
    yield (
        "training",
        f"{number(facts['steps'])} optimizer steps, {number(facts['epochs'])} epochs, {facts['precision']}{best}",
    )
    yield "held-out loss before", f"{number(facts['loss_before'])} nats per token"
    yield (
        "held-out loss after",
        f"{number(facts['loss_after'])} nats per token (perplexity {number(facts['perplexity'])})",
    )
    if facts["loss_floor"] is not None:
        yield "loss floor", f"{number(facts['loss_floor'])} nats per token: no model can do better in the long run"
    if facts["nats_per_document"] is not None:
        yield "held-out document", f"{number(facts['nats_per_document'])} nats"
    if samples["valid_after"] is not None:
        valid = f"{number(samples['valid_before'])} before, {number(samples['valid_after'])} after"
        yield "samples that the template can produce", f"{valid}, of {number(samples['written'])}"


def _made_with(facts: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    commit, changed = facts["git_commit"], " with uncommitted changes" if facts["git_changed"] else ""
    yield "git commit", Markdown(markdown_code(commit) + changed) if commit else "unknown"
    yield "Python", facts["python"]
    yield from facts["libraries"].items()
