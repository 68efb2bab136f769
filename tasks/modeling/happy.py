"""The seam to Happy Transformer: the one module that knows its private names (pinned to 3.0.1).

What comes in: a model folder or hub id. What it leaves: a `HappyGeneration` that loads, generates, trains and saves as
Happy Transformer does, and without its traps: embeddings are never shrunk to the tokenizer, training takes our blocks
as they are and every parameter of ours, and ends in eval mode. Attention and loss are the fast ones.
"""

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import happytransformer.happy_transformer as happy_transformer_module
import torch
from accelerate.state import AcceleratorState
from happytransformer import GENTrainArgs, HappyGeneration
from transformers import (
    AutoConfig,
    AutoTokenizer,
    PreTrainedModel,
    TrainerCallback,
    TrainingArguments,
)
from transformers.utils import logging as transformers_logging

from tasks.modeling import attention as _registered  # noqa: F401 what it is imported for: GPT-Neo attends by it
from tasks.modeling.blocks import Blocks
from tasks.modeling.conducting import Schedule
from tasks.modeling.fusing import fuse
from tasks.modeling.loading import check_complete, check_end_of_text, check_writes_text, loading
from tasks.modeling.saving import save_model
from tasks.modeling.stopping import Stop
from tasks.modeling.trainer import BlockTrainer, Checkpoints

os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")


@dataclass
class TuningArgs(GENTrainArgs):  # type: ignore[misc]
    """Happy Transformer's training arguments, and beside them what it has no name for."""

    train: Blocks | None = None
    held_out: Blocks | None = None
    more: Mapping[str, Any] = field(default_factory=dict)
    """Hugging Face's training arguments by name; they win."""
    schedule: Schedule = field(default_factory=Schedule)
    checkpoints: Checkpoints | None = None
    resume_from: Path | None = None
    stop: Stop = field(default_factory=Stop)
    callbacks: tuple[TrainerCallback, ...] = ()


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
        logger = logging.getLogger(happy_transformer_module.__name__)
        if not any(isinstance(found, _NoFutureDeprecations) for found in logger.filters):
            logger.addFilter(_NoFutureDeprecations())
        return logger

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

    def _preprocess_data_train(
        self, input_filepath: str, eval_filepath: str, args: TuningArgs
    ) -> tuple[Blocks, Blocks]:
        """The blocks as they are: none of Happy Transformer's reading, splitting and tokenizing runs."""
        assert args.train is not None and args.held_out is not None  # noqa: PT018
        return args.train, args.held_out

    def _get_training_args(self, args: TuningArgs) -> TrainingArguments:
        """The parent's arguments, and all that it leaves out."""
        _forget_earlier_training()
        parents: TrainingArguments = super()._get_training_args(args)
        arguments = replace(parents, **args.more)
        arguments._n_gpu = min(arguments._n_gpu, 1)  # several GPUs have a process each; Hugging Face would use threads
        return arguments

    def _run_train(self, train_dataset: Blocks, eval_dataset: Blocks, args: TuningArgs, data_collator: Any) -> None:
        """Train on the blocks as they are, keep the trainer, and end in eval mode."""
        self.model.to(self.device)
        self._on_device = True
        self.trainer = BlockTrainer(
            model=self.model,
            args=self._get_training_args(args),
            train=train_dataset,
            held_out=eval_dataset,
            schedule=args.schedule,
            checkpoints=args.checkpoints,
            stop=args.stop,
            callbacks=list(args.callbacks),
        )
        try:
            self.trainer.train_from(args.resume_from)
        finally:
            self.model.eval()

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


class _NoFutureDeprecations(logging.Filter):
    """Drop the notes on what Happy Transformer 4 will not have: the version is pinned."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is shown."""
        return "4.0.0" not in str(record.msg)
