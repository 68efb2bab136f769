"""Fine-tune: tokens → weights; the only flow that needs a GPU for large models.

What comes in: references to token blocks and a base model, the training parameters, and where checkpoints are shared.
What it leaves: a reference to the weights. It is called by `train`, or deployed on a GPU pool for a `train` that runs
elsewhere (`finetune_on`), and has no command of its own: its inputs are references.
"""

from datetime import datetime

from prefect import flow

from tasks.observability.logs import start_run
from tasks.parameters import ReleaseParameters, SamplingParameters, TrainingParameters
from tasks.remote_finetuning import fetch_inputs, share_weights
from tasks.stage.references import ModelReference, TokenBlocks, Weights
from tasks.weights import forget_weights, make_weights


@flow(name="finetune", log_prints=True)
def finetune(  # noqa: PLR0913 inputs and groups
    *,
    tokens: TokenBlocks,
    base: ModelReference,
    training: TrainingParameters = TrainingParameters(),
    release: ReleaseParameters = ReleaseParameters(),
    sampling: SamplingParameters = SamplingParameters(),
    not_before: datetime | None = None,
    shared: bool = False,
) -> Weights:
    """Fine-tune the base model on the token blocks.

    Args:
        tokens: Reference to the token blocks.
        base: Reference to the base model.
        training: How to train.
        release: Where checkpoints are copied to, if training.share_checkpoints is on.
        sampling: How the model writes samples during training, for the log.
        not_before: Weights that were made before this time are made again.
        shared: Tokens and base model come from release.destination, and the weights go there.
    """
    start_run()
    if shared:
        fetch_inputs(tokens, base, release)
    if not_before is not None:
        forget_weights(tokens, base, training, not_before)
    weights = make_weights(tokens, base, training, release, sampling)
    if shared:
        share_weights(weights, release)
    return weights
