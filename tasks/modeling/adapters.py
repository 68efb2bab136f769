"""LoRA adapters (arXiv:2106.09685) by the library peft: train a few low-rank matrices instead of all weights."""

from typing import Any

from tasks.errors import InputError
from tasks.parameters import TrainingParameters

TARGETS = {
    "gpt_neo": ("q_proj", "k_proj", "v_proj", "out_proj", "c_fc", "c_proj"),
    "gpt2": ("c_attn", "c_fc", "c_proj"),
}
"""All projections of attention and MLP: adapting every layer matches full training (arXiv:2305.14314, section 4)."""


def add_adapters(model: Any, training: TrainingParameters) -> Any:
    """The model with adapters and its own weights frozen; InputError if no layer has a requested name."""
    from peft import LoraConfig, get_peft_model

    assert training.lora_rank is not None
    kind = model.config.model_type
    targets = training.lora_target_modules or TARGETS.get(kind)
    config = LoraConfig(
        r=training.lora_rank,
        lora_alpha=training.lora_alpha or 2 * training.lora_rank,  # type: ignore[arg-type]  # a float is fine
        lora_dropout=training.lora_dropout,
        target_modules=list(targets) if targets else "all-linear",
        fan_in_fan_out=kind == "gpt2",  # GPT-2 stores its matrices transposed
        task_type="CAUSAL_LM",
    )
    try:
        return get_peft_model(model, config)
    except ValueError as error:
        raise InputError(
            f"--training.lora-target-modules {', '.join(targets or ())}: the model ({kind}) has no such layers; omit "
            f"the flag, or name some of its layers, for example {', '.join(_layers(model))}."
        ) from error


def merge_adapters(model: Any) -> Any:
    """The plain model with the adapters merged into its weights; loading it does not need peft."""
    return model.merge_and_unload()


def _layers(model: Any) -> list[str]:
    """The last parts of the names of the layers that can have adapters."""
    matrices = (name for name, layer in model.named_modules() if type(layer).__name__ in {"Linear", "Conv1D"})
    return sorted({name.rpartition(".")[2] for name in matrices} - {"lm_head"})
