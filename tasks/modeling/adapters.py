"""Adapters: train a few low-rank matrices instead of all weights (LoRA, arXiv:2106.09685), by the library peft.

What comes in: a model and the training parameters. What it leaves: the model with adapters, whose own weights stand
still; and, after training, a plain model again with the adapters merged in, so that nobody who loads it needs peft.
"""

from typing import Any

from tasks.errors import InputError
from tasks.parameters import TrainingParameters

TARGETS = {
    "gpt_neo": ("q_proj", "k_proj", "v_proj", "out_proj", "c_fc", "c_proj"),
    "gpt2": ("c_attn", "c_fc", "c_proj"),
}
"""All projections of attention and MLP: adapting every layer does as well as full training (arXiv:2305.14314, 4)."""


def add_adapters(model: Any, training: TrainingParameters) -> Any:
    """The model with adapters; InputError where none of its layers has a name that was asked for."""
    from peft import LoraConfig, get_peft_model

    assert training.lora_rank is not None
    kind = model.config.model_type
    targets = training.lora_target_modules or TARGETS.get(kind)
    config = LoraConfig(
        r=training.lora_rank,
        lora_alpha=training.lora_alpha or 2 * training.lora_rank,  # type: ignore[arg-type]  # any number will do
        lora_dropout=training.lora_dropout,
        target_modules=list(targets) if targets else "all-linear",
        fan_in_fan_out=kind == "gpt2",  # GPT-2 stores its matrices the other way round
        task_type="CAUSAL_LM",
    )
    try:
        return get_peft_model(model, config)
    except ValueError as error:
        raise InputError(
            f"--training.lora-target-modules {', '.join(targets or ())}: the model ({kind}) has no such layers; leave "
            f"the flag out, or name some of its layers, for example {', '.join(_layers(model))}."
        ) from error


def merge_adapters(model: Any) -> Any:
    """The plain model, with what the adapters learned in its weights."""
    return model.merge_and_unload()


def _layers(model: Any) -> list[str]:
    """The last parts of the names of the layers that can have adapters."""
    matrices = (name for name, layer in model.named_modules() if type(layer).__name__ in {"Linear", "Conv1D"})
    return sorted({name.rpartition(".")[2] for name in matrices} - {"lm_head"})
