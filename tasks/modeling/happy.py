"""The seam to Happy Transformer: the one module that knows its private names (pinned to 3.0.1).

What comes in: a model folder or hub id. What it leaves: a `HappyGeneration` that loads, generates, trains and saves as
Happy Transformer does, and without its traps: embeddings are never shrunk to the tokenizer, training takes our blocks
as they are and every parameter of ours, and ends in eval mode. Attention and loss are the fast ones.
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
from transformers import (
    AutoConfig,
    AutoTokenizer,
    PreTrainedModel,
    TrainingArguments,
)
from transformers.utils import logging as transformers_logging

from tasks.modeling import attention as _registered  # noqa: F401 what it is imported for: GPT-Neo attends by it
from tasks.modeling.fusing import fuse
from tasks.modeling.loading import check_complete, check_end_of_text, check_writes_text, loading
from tasks.modeling.saving import save_model
from tasks.modeling.trainer import BlockTrainer

os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")


class TunableGeneration(HappyGeneration):  # type: ignore[misc]
    """Happy Transformer's text generation, held by its seams; `trainer` is that of the last training."""

    trainer: BlockTrainer | None = None
    device: torch.device

    def __init__(self, model_type: str, model_name: str, *, revision: str | None = None) -> None:
        """Load the model and its tokenizer in eval mode, on the best device there is."""
        self._revision = revision
        super().__init__(model_type=model_type, model_name=model_name)
        del self.model.resize_token_embeddings
        if self.device.type == "cuda":
            self.device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        fuse(self.model)
        self.model.eval()

    def _get_logger(self) -> logging.Logger:
        """Happy Transformer's logger as it is: its own version reconfigures the logging of the whole process."""
        transformers_logging.disable_default_handler()
        return logging.getLogger(happy_transformer_module.__name__)

    def _get_model_components(
        self, model_name_path: str, use_auth_token: object, trust_remote_code: bool, model_class: Any
    ) -> tuple[Any, Any, PreTrainedModel]:
        """Config, tokenizer and model, at the revision asked for; embeddings grow to the tokenizer, never shrink."""
        where = {"revision": self._revision} if self._revision else {}
        with loading(model_name_path):
            config = AutoConfig.from_pretrained(model_name_path, **where)
            check_writes_text(model_name_path, config)
            model, found = model_class.from_pretrained(
                model_name_path, config=config, output_loading_info=True, **where
            )
            tokenizer = AutoTokenizer.from_pretrained(model_name_path, **where)
        check_complete(model_name_path, sorted(found["missing_keys"]))
        check_end_of_text(model_name_path, tokenizer)
        model.resize_token_embeddings = lambda size: _grow_embeddings(model, size)
        return config, tokenizer, model

    def train(self, arguments: Callable[[], TrainingArguments], resume_from: Path | None, **parts: Any) -> BlockTrainer:
        """Train on blocks as they are, and end in eval mode; `parts` are those of a BlockTrainer. The trainer is kept.

        The parent's reads, splits and tokenizes a file: nothing of that is wanted here.
        """
        _forget_earlier_training()
        made = arguments()
        made._n_gpu = min(made._n_gpu, 1)  # several GPUs have a process each; Hugging Face would use threads
        self.model.to(self.device)
        self._on_device = True
        self.trainer = BlockTrainer(model=self.model, args=made, **parts)
        try:
            self.trainer.train_from(resume_from)
        finally:
            self.model.eval()
        return self.trainer

    def save(self, path: str | Path) -> None:
        """Save model and tokenizer to a fresh folder, in eval mode."""
        self.model.eval()
        save_model(self.model, self.tokenizer, Path(path))


def _forget_earlier_training() -> None:
    """Precision and compiling go by way of the environment and of a state that all share: they would stay on."""
    for name in [name for name in os.environ if name.startswith(("ACCELERATE_MIXED_", "ACCELERATE_DYNAMO_"))]:
        del os.environ[name]
    AcceleratorState._reset_state()


def _grow_embeddings(model: PreTrainedModel, size: int) -> None:
    rows: int = model.get_input_embeddings().weight.shape[0]  # type: ignore[index,assignment]
    if size > rows:
        PreTrainedModel.resize_token_embeddings(model, size)
