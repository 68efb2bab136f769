"""Model card: what a release says of itself, in Markdown with the front matter that model hubs read.

What comes in: names, counts and losses. What it leaves: `README.md` of the release. It holds no path of a machine and
no time, so that the same run gives the same card.
"""

from typing import Protocol


class CorpusFacts(Protocol):
    """What the card says of the corpus."""

    @property
    def sha256(self) -> str:
        """Fingerprint."""

    def describe(self) -> str:
        """Counts."""


class TokenFacts(Protocol):
    """What the card says of the tokens."""

    def describe(self) -> str:
        """Counts."""


class TrainingFacts(Protocol):
    """What the card says of the training."""

    @property
    def steps(self) -> int:
        """Optimizer steps."""

    @property
    def loss_before(self) -> float:
        """Held-out loss of the base model."""

    @property
    def loss_after(self) -> float:
        """Held-out loss of the fine-tuned model."""


def model_card(name: str, base: str, corpus: CorpusFacts, tokens: TokenFacts, training: TrainingFacts) -> str:
    """The card of a release."""
    return f"""---
library_name: transformers
pipeline_tag: text-generation
tags: [spinneret, happytransformer]
---
# {name}

Fine-tuned from `{base}`.

| | |
| --- | --- |
| corpus | {corpus.describe()} |
| corpus fingerprint | `{corpus.sha256}` |
| tokens | {tokens.describe()} |
| training | {training.steps:,} optimizer steps |
| held-out loss before | {training.loss_before:.4f} nats a token |
| held-out loss after | {training.loss_after:.4f} nats a token |

`samples.json` has samples before and after, with their seeds; `parameters.yaml` repeats the run
(`python flows/train.py --config parameters.yaml`); `templates.json` has the templates of the corpus.
"""
