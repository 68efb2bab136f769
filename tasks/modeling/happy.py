"""The interface to Happy Transformer: the only module that uses its private names (pinned to 3.0.1).

Unlike Happy Transformer itself it never shrinks embeddings to the tokenizer, trains on our blocks with all of our
parameters, and leaves the model in eval mode. Attention and loss are the fused ones.
"""

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import happytransformer.happy_transformer as happy_transformer_module
import torch
from accelerate.state import AcceleratorState
from happytransformer import HappyGeneration
from transformers import AutoConfig, AutoTokenizer, PreTrainedModel, TrainingArguments
from transformers.utils import logging as transformers_logging

from tasks.modeling import set_thread_defaults
from tasks.modeling.attention import register_attention
from tasks.modeling.fusing import fuse
from tasks.modeling.loading import check_complete, check_end_of_text, check_writes_text, loading
from tasks.modeling.saving import save_model
from tasks.modeling.trainer import BlockTrainer


class TunableGeneration(HappyGeneration):  # type: ignore[misc]
    """Happy Transformer's text generation with our loading, training and saving; `trainer` is the last trainer used."""

    trainer: BlockTrainer | None = None
    device: torch.device

    def __init__(self, model_type: str, model_name: str, *, revision: str | None = None) -> None:
        """Load the model and its tokenizer in eval mode; `device` is the best one available."""
        set_thread_defaults()
        register_attention()
        self._revision = revision
        super().__init__(model_type=model_type, model_name=model_name)
        del self.model.resize_token_embeddings
        if self.device.type == "cuda":
            self.device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        fuse(self.model)
        self.model.eval()

    def _get_logger(self) -> logging.Logger:
        """Return Happy Transformer's logger unchanged; the parent reconfigures the logging of the whole process."""
        transformers_logging.disable_default_handler()
        return logging.getLogger(happy_transformer_module.__name__)

    def _get_model_components(
        self, model_name_path: str, use_auth_token: object, trust_remote_code: bool, model_class: Any
    ) -> tuple[Any, Any, PreTrainedModel]:
        """Config, tokenizer and model at the requested revision; embeddings grow to the tokenizer but never shrink."""
        revision = self._revision or "main"
        with loading(model_name_path):
            config = AutoConfig.from_pretrained(model_name_path, revision=revision)
            check_writes_text(model_name_path, config)
            model, found = model_class.from_pretrained(
                model_name_path, config=config, output_loading_info=True, revision=revision
            )
            tokenizer = AutoTokenizer.from_pretrained(model_name_path, revision=revision)
        check_complete(model_name_path, sorted(found["missing_keys"]))
        check_end_of_text(model_name_path, tokenizer)
        model.resize_token_embeddings = lambda size: _grow_embeddings(model, size)
        return config, tokenizer, model

    def train(self, arguments: Callable[[], TrainingArguments], resume_from: Path | None, **parts: Any) -> BlockTrainer:
        """Train on blocks and leave the model in eval mode; `parts` are further arguments of BlockTrainer.

        It replaces the parent's `train`, which reads, splits and tokenizes a file. `arguments` is a function, since
        TrainingArguments set accelerate's global state, which is reset first.
        """
        _reset_accelerate()
        training_arguments = arguments()
        training_arguments._n_gpu = min(training_arguments._n_gpu, 1)  # one process per GPU, not threads
        self.model.to(self.device)
        self._on_device = True
        self.trainer = BlockTrainer(model=self.model, args=training_arguments, **parts)
        try:
            self.trainer.train_from(resume_from)
        finally:
            self.model.eval()
        return self.trainer

    def save(self, path: str | Path) -> None:
        """Save model and tokenizer to a new folder, in eval mode."""
        self.model.eval()
        save_model(self.model, self.tokenizer, Path(path))


def _reset_accelerate() -> None:
    """Forget precision and compilation of an earlier training, which live in the environment and in global state."""
    for name in [name for name in os.environ if name.startswith(("ACCELERATE_MIXED_", "ACCELERATE_DYNAMO_"))]:
        del os.environ[name]
    AcceleratorState._reset_state()


def _grow_embeddings(model: PreTrainedModel, size: int) -> None:
    rows: int = model.get_input_embeddings().weight.shape[0]  # type: ignore[index,assignment]
    if size > rows:
        PreTrainedModel.resize_token_embeddings(model, size)
