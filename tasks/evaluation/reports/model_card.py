"""Model card: what a release says of itself, in Markdown with the front matter that model hubs read.

What comes in: the facts of a release (JSON values, as `release.json` holds them) and its samples before and after. What
it leaves: `README.md` of the release. It holds no path of a machine and no time, so that the same run gives the same
card.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml

from tasks.evaluation.text import Pair, cell, samples_markdown

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
MAX_PAIRS = 12
"""Samples in the card; `samples.json` holds all."""


def model_card(name: str, facts: Mapping[str, Any], pairs: Sequence[Pair]) -> str:
    """The card of a release."""
    shown, more = pairs[:MAX_PAIRS], len(pairs) - MAX_PAIRS
    said = f"\n{more:,} more stand in `samples.json`.\n" if more > 0 else ""
    return f"""---
{yaml.safe_dump(_front_matter(facts), sort_keys=False)}---
# {name}

Fine-tuned from {_code(facts["base_model"])}.

{_table(_about(facts))}
## Samples, before and after

{samples_markdown(shown)}{said}
## Files

`release.json` has the figures above; `samples.json` the samples, with their seeds; `history.json` the losses step by
step; `templates.json` the templates of the corpus. `parameters.yaml` repeats the run (where a source or a base model
was given by its full path, it has the name only: put the file into the current folder):

```sh
python flows/train.py --config parameters.yaml
```

## Made with

{_table(_made_with(facts))}"""


def _front_matter(facts: Mapping[str, Any]) -> dict[str, Any]:
    matter: dict[str, Any] = {"library_name": "transformers", "pipeline_tag": "text-generation"}
    if facts["base_model_revision"] and _HUB_ID.fullmatch(facts["base_model"]):
        matter["base_model"] = facts["base_model"]
    return {**matter, "tags": ["spinneret", "happytransformer"]}


def _about(facts: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    corpus, tokens, samples = facts["corpus"], facts["tokens"], facts["samples"]
    of = f" of {corpus['derivations']:,} derivations" if corpus["derivations"] else ""
    if facts["base_model_revision"]:
        yield "base model's commit", _code(facts["base_model_revision"])
    yield (
        "corpus",
        (
            f"{corpus['documents']:,} documents{of}: {corpus['train_documents']:,} to train on, "
            f"{corpus['eval_documents']:,} held out; {corpus['duplicates']:,} duplicates were dropped"
        ),
    )
    yield "corpus fingerprint", _code(corpus["sha256"])
    yield (
        "tokens",
        (
            f"{tokens['train_tokens']:,} in {tokens['train_blocks']:,} blocks of {tokens['block_size']:,} to train on, "
            f"{tokens['eval_tokens']:,} held out"
        ),
    )
    best = f", the best of them after step {facts['best_step']:,}" if facts["best_step"] else ""
    yield "training", f"{facts['steps']:,} optimizer steps, {facts['epochs']:,.3g} epochs, {facts['precision']}{best}"
    yield "held-out loss before", f"{facts['loss_before']:.4f} nats a token"
    yield "held-out loss after", f"{facts['loss_after']:.4f} nats a token (perplexity {facts['perplexity']:.3f})"
    if facts["loss_floor"] is not None:
        yield "loss floor", f"{facts['loss_floor']:.4f} nats a token: no model can do better in the long run"
    if facts["nats_per_document"] is not None:
        yield "held-out document", f"{facts['nats_per_document']:.3f} nats"
    if samples["valid_after"] is not None:
        yield (
            "samples that are sentences of the template",
            (f"{samples['valid_before']:,} before, {samples['valid_after']:,} after, of {samples['written']:,}"),
        )


def _made_with(facts: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    changed = " and changes that were not committed" if facts["git_changed"] else ""
    yield "git commit", _code(facts["git_commit"]) + changed if facts["git_commit"] else "not known"
    yield "Python", facts["python"]
    yield from facts["libraries"].items()


def _table(rows: Iterator[tuple[str, str]]) -> str:
    return "| | |\n| --- | --- |\n" + "".join(f"| {label} | {value} |\n" for label, value in rows)


def _code(text: str) -> str:
    """Text to the letter, that no character of Markdown can break out of."""
    return f"<code>{cell(text)}</code>"
