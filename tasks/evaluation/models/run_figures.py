"""Run figures: what is known of a run's models, and the verdict; what the report, the UI and the terminal show.

What comes in: held-out losses and samples of the base model, of the challenger (the model that was just trained) and of
the champion where there is one; the templates and the training documents. What it leaves: RunFigures, JSON-able.
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
"""Of the bootstrap."""


@dataclass(frozen=True)
class Contender:
    """One model: its losses, and what it wrote, sample by sample, prompt by prompt."""

    role: Role
    name: str
    losses: HeldOutLosses
    texts: Sequence[str]
    documents: Sequence[str]
    """Prompt and text together."""


class ModelFigures(Figures):
    """What was measured of one model."""

    role: Role
    name: str
    losses: LossFigures
    novelty: Novelty
    variety: Variety | None
    copying: Memorization


class Sample(Figures):
    """What one model wrote after a prompt: new and valid, copied from the training set, no sentence of a template."""

    role: Role
    text: str
    mark: Mark


class SampleRow(Figures):
    """One sample of each model, with the same prompt and seed."""

    prompt: str
    seed: int
    written: tuple[Sample, ...]


class PromptNote(Figures):
    """A prompt, where it comes from, and what makes its samples hard to judge."""

    text: str
    source: str
    flags: tuple[str, ...]


class RunFigures(Figures):
    """Everything."""

    verdict: Verdict
    floor: float | None
    """Loss floor in nats a document."""
    models: tuple[ModelFigures, ...]
    prompts: tuple[PromptNote, ...]
    samples: tuple[SampleRow, ...]

    def model(self, role: Role) -> ModelFigures | None:
        """The figures of one model."""
        return next((one for one in self.models if one.role == role), None)


def measure_models(  # noqa: PLR0913 what a verdict is made of
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
                prompt=prompt, seed=seed, written=tuple(_written(one, place, templates, known) for one in contenders)
            )
            for place, (prompt, seed) in enumerate(seeds)
        ),
    )


def _figures(
    one: Contender,
    templates: Sequence[Template],
    known: Iterable[str],
    train: Callable[[], Iterable[str]],
    floor: float | None,
) -> ModelFigures:
    """`known` are those of the training documents that any contender wrote: the others are none of its samples."""
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


def _written(one: Contender, place: int, templates: Sequence[Template], known: set[str]) -> Sample:
    document = one.documents[place]
    mark: Mark = "copied" if document in known else ""
    if templates and not mark:
        mark = "new" if any(template.contains(document) for template in templates) else "invalid"
    return Sample(role=one.role, text=one.texts[place], mark=mark)


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
