"""Evaluate: base model, challenger and champion on the same prompts and held-out documents → samples, losses, verdict.

What comes in: references to the corpus and the models, how to sample, and where releases are. What it leaves:
references to samples and losses, and the verdict of the gate. It is called by `train` and has no command of its own.
"""

from prefect import flow
from pydantic import BaseModel, ConfigDict

from flows.prepare import Prepared
from tasks.champion import find_champion
from tasks.comparison import compare_models, show_comparison
from tasks.evaluation.models.run_figures import Role
from tasks.heldout_losses import measure_heldout
from tasks.observability.logs import start_run
from tasks.parameters import ReleaseParameters, SamplingParameters
from tasks.samples import make_samples
from tasks.stage.lineage import Contender
from tasks.stage.references import Comparison, ModelReference, Weights
from tasks.weights import finetuned_model


class Evaluated(BaseModel):
    """The models with their samples and held-out losses, and the verdict."""

    model_config = ConfigDict(frozen=True)

    contenders: tuple[Contender, ...]
    comparison: Comparison


@flow(name="evaluate", log_prints=True)
def evaluate(
    *,
    prepared: Prepared,
    weights: Weights,
    sampling: SamplingParameters = SamplingParameters(),
    release: ReleaseParameters = ReleaseParameters(),
) -> Evaluated:
    """Compare the fine-tuned model with the base model and with the champion.

    Args:
        prepared: References to corpus, base model, tokens and report.
        weights: Reference to the fine-tuned weights.
        sampling: How the models write samples.
        release: Where the champion is, and the limits of the gate.
    """
    start_run()
    base, corpus = prepared.base, prepared.corpus
    champion = find_champion(release, weights, base.type)
    models: dict[Role, ModelReference | None]
    models = {"base": base, "challenger": finetuned_model(weights, base), "champion": champion}
    contenders = tuple(
        Contender(
            role=role,
            model=model,
            samples=make_samples(model, corpus, sampling),
            heldout=measure_heldout(model, corpus),
        )
        for role, model in models.items()
        if model is not None
    )
    comparison = compare_models(contenders, corpus, prepared.report, release)
    show_comparison(comparison)
    return Evaluated(contenders=contenders, comparison=comparison)
