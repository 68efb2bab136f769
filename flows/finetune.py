"""Fine-tune: tokens → weights; the only flow that wants a GPU.

What comes in: references to token blocks and a base model, and the training parameters. What it leaves: a reference to
the weights. It is called by `train` and has no command of its own: its inputs are references.
"""

from prefect import flow

from tasks.parameters import TrainingParameters
from tasks.references import ModelReference, TokenBlocks, Weights
from tasks.weights import make_weights


@flow(name="finetune", log_prints=True)
def finetune(
    *, tokens: TokenBlocks, base: ModelReference, training: TrainingParameters = TrainingParameters()
) -> Weights:
    """Fine-tune the base model on the token blocks.

    Args:
        tokens: Reference to the token blocks.
        base: Reference to the base model.
        training: How to train.
    """
    return make_weights(tokens, base, training)
