"""Fine-tune: tokens → weights; the only flow that wants a GPU.

What comes in: references to token blocks and a base model, the training parameters, and where checkpoints are shared.
What it leaves: a reference to the weights. It is called by `train` and has no command of its own: its inputs are
references.
"""

from prefect import flow

from tasks.parameters import ReleaseParameters, SamplingParameters, TrainingParameters
from tasks.references import ModelReference, TokenBlocks, Weights
from tasks.weights import make_weights, show_training


@flow(name="finetune", log_prints=True)
def finetune(
    *,
    tokens: TokenBlocks,
    base: ModelReference,
    training: TrainingParameters = TrainingParameters(),
    release: ReleaseParameters = ReleaseParameters(),
    sampling: SamplingParameters = SamplingParameters(),
) -> Weights:
    """Fine-tune the base model on the token blocks.

    Args:
        tokens: Reference to the token blocks.
        base: Reference to the base model.
        training: How to train.
        release: Where checkpoints are copied to, if training.share_checkpoints is on.
        sampling: What the model writes meanwhile, for those who look on.
    """
    weights = make_weights(tokens, base, training, release, sampling)
    show_training(weights)
    return weights
