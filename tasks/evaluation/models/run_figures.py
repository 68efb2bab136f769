"""The figures of a comparison: what was measured of each model, the verdict, and all samples.

The challenger is the model that was just trained; it is compared with the base model and, if there is one, with the
champion.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from tasks.evaluation.figures import Figures
from tasks.evaluation.models.bootstrap import HeldOutLosses, LossFigures, loss_figures, paired_bootstrap
from tasks.evaluation.models.gate import BASE_MODEL, Gate, Guards, Measured, Verdict, decide
from tasks.evaluation.models.memorization import Memorization, measure_memorization
from tasks.evaluation.models.novelty import Novelty, measure_novelty
from tasks.evaluation.models.prompts import Prompt
from tasks.evaluation.models.variety import Variety, measure_variety
from tasks.spintax import Template

Role = Literal["base", "challenger", "champion"]
Mark = Literal["new", "copied", "invalid", ""]
SEED = 0
"""Seed of the bootstrap."""


@dataclass(frozen=True)
class Contender:
    """One model, with its losses and its samples in the order of the prompts."""

    role: Role
    name: str
    losses: HeldOutLosses
    texts: Sequence[str]
    documents: Sequence[str]
    """Prompt and text of each sample together."""


class ModelFigures(Figures):
    """The measurements of one model."""

    role: Role
    name: str
    losses: LossFigures
    novelty: Novelty
    variety: Variety | None
    copying: Memorization


class Sample(Figures):
    """The text that a model wrote after a prompt, marked as new and valid, copied verbatim, or invalid."""

    role: Role
    text: str
    mark: Mark


class SampleRow(Figures):
    """One sample of each model, for the same prompt and seed."""

    prompt: str
    seed: int
    written: tuple[Sample, ...]


class PromptNote(Figures):
    """A prompt, its source, and flags that say why its samples are hard to judge."""

    text: str
    source: str
    flags: tuple[str, ...]


class RunFigures(Figures):
    """All figures of a comparison; stored as comparison.json."""

    verdict: Verdict
    floor: float | None
    """Loss floor in nats per document."""
    models: tuple[ModelFigures, ...]
    prompts: tuple[PromptNote, ...]
    samples: tuple[SampleRow, ...]

    def model(self, role: Role) -> ModelFigures | None:
        """The figures of one model."""
        return next((one for one in self.models if one.role == role), None)


def measure_models(  # noqa: PLR0913 a verdict depends on all of these
    contenders: Sequence[Contender],
    prompts: Sequence[Prompt],
    seeds: Sequence[tuple[str, int]],
    *,
    templates: Sequence[Template],
    train: Callable[[], Iterable[str]],
    floor: float | None,
    guards: Guards,
    gate: Gate,
) -> RunFigures:
    """Measure the contenders and decide; `seeds` are prompt and seed of each sample, `train` reads the training set."""
    known = _known([one.documents for one in contenders], train())
    models = tuple(_figures(one, templates, known, train, floor) for one in contenders)
    return RunFigures(
        verdict=_decide(contenders, models, guards, gate),
        floor=floor,
        models=models,
        prompts=tuple(PromptNote(text=one.text, source=one.source, flags=one.flags) for one in prompts),
        samples=tuple(
            SampleRow(
                prompt=prompt, seed=seed, written=tuple(_sample(one, index, templates, known) for one in contenders)
            )
            for index, (prompt, seed) in enumerate(seeds)
        ),
    )


def _figures(
    one: Contender,
    templates: Sequence[Template],
    known: Iterable[str],
    train: Callable[[], Iterable[str]],
    floor: float | None,
) -> ModelFigures:
    """Measure one model; `known` are the training documents that any contender wrote verbatim."""
    return ModelFigures(
        role=one.role,
        name=one.name,
        losses=loss_figures(one.losses, SEED, floor=floor),
        novelty=measure_novelty(one.documents, templates, known),
        variety=measure_variety(one.documents, templates),
        copying=measure_memorization(one.texts, train()),
    )


def _known(documents: Iterable[Sequence[str]], train: Iterable[str]) -> set[str]:
    return {one for some in documents for one in some}.intersection(train)


def _sample(one: Contender, index: int, templates: Sequence[Template], known: set[str]) -> Sample:
    document = one.documents[index]
    mark: Mark = "copied" if document in known else ""
    if templates and not mark:
        mark = "new" if any(template.contains(document) for template in templates) else "invalid"
    return Sample(role=one.role, text=one.texts[index], mark=mark)


def _decide(contenders: Sequence[Contender], models: Sequence[ModelFigures], guards: Guards, gate: Gate) -> Verdict:
    by_role: Mapping[str, Contender] = {one.role: one for one in contenders}
    challenger, champion = by_role["challenger"], by_role.get("champion")
    figures = next(one for one in models if one.role == "challenger")
    return decide(
        paired_bootstrap(challenger.losses, (champion or by_role["base"]).losses, SEED),
        opponent=champion.name if champion else BASE_MODEL,
        guards=guards,
        measured=Measured(
            loss=figures.losses.loss,
            valid=figures.novelty.valid_share,
            copied=figures.novelty.verbatim_share if figures.variety else figures.copying.copied_share,
            repetition=figures.copying.repetition,
        ),
        gate=gate,
    )
