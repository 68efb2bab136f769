"""The seam to Happy Transformer: the one module that knows its private names (pinned to 3.0.1).

What comes in: a model folder or hub id. What it leaves: a `HappyGeneration` that loads, generates, trains and saves as
Happy Transformer does, and without its traps: embeddings are never shrunk to the tokenizer, training takes every
parameter of the seed's table, sampling ends up in eval mode, and decoded text is not tidied behind one's back.
"""

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import happytransformer.happy_transformer as happy_transformer_module
from happytransformer import GENTrainArgs, HappyGeneration
from transformers import (
    AutoConfig,
    AutoTokenizer,
    LogitsProcessorList,
    PreTrainedModel,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)
from transformers.utils import logging as transformers_logging

from tasks.modeling.bad_words import NeverWritten
from tasks.modeling.loading import check_complete, check_end_of_text, check_writes_text, loading
from tasks.modeling.recipes import Recipe
from tasks.modeling.saving import save_model
from tasks.parameters import TrainingParameters

os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")


@dataclass
class TuningArgs(GENTrainArgs):  # type: ignore[misc]
    """Happy Transformer's training arguments and those of the seed's table that 3.x dropped."""

    adam_beta1: float = 0.9
    adam_beta2: float = 0.999
    adam_epsilon: float = 1e-8
    max_grad_norm: float = 1.0
    max_steps: int = -1
    seed: int = 42
    lr_scheduler_type: str = "linear"
    warmup_ratio: float = 0.0
    callbacks: tuple[TrainerCallback, ...] = ()


def tuning_args(training: TrainingParameters, recipe: Recipe, **places: Any) -> TuningArgs:
    """The arguments for `train()`; `places` are Happy Transformer's own (output_dir, load_path, ...)."""
    return TuningArgs(
        learning_rate=recipe.learning_rate,
        batch_size=recipe.batch_size,
        lr_scheduler_type=recipe.lr_scheduler_type,
        warmup_ratio=recipe.warmup_ratio,
        num_train_epochs=training.num_train_epochs,
        max_steps=-1 if training.max_steps is None else training.max_steps,
        weight_decay=training.weight_decay,
        adam_beta1=training.adam_beta1,
        adam_beta2=training.adam_beta2,
        adam_epsilon=training.adam_epsilon,
        max_grad_norm=training.max_grad_norm,
        fp16=training.fp16,
        seed=training.seed,
        eval_steps=0,
        **places,
    )


class TunableGeneration(HappyGeneration):  # type: ignore[misc]
    """Happy Transformer's text generation, held by its seams; `trainer` is that of the last training."""

    trainer: Trainer | None = None

    def __init__(self, model_type: str, model_name: str, *, revision: str | None = None) -> None:
        """Load the model and its tokenizer in eval mode, on the best device there is."""
        self._revision = revision
        super().__init__(model_type=model_type, model_name=model_name)
        del self.model.resize_token_embeddings
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

    def _get_training_args(self, args: TuningArgs) -> TrainingArguments:
        """The parent's arguments, and all that it leaves out."""
        ours = {field.name for field in fields(TuningArgs)} - {field.name for field in fields(GENTrainArgs)}
        values = {name: getattr(args, name) for name in ours - {"callbacks"}}
        arguments: TrainingArguments = super()._get_training_args(args)
        quiet = {"disable_tqdm": True, "dataloader_pin_memory": self.device.type == "cuda"}
        return replace(arguments, **values, **quiet, data_seed=args.seed, logging_nan_inf_filter=False)

    def _run_train(self, train_dataset: Any, eval_dataset: Any, args: TuningArgs, data_collator: Any) -> None:
        """Train on the rows as they are, keep the trainer, and end in eval mode."""
        self.model.to(self.device)
        self._on_device = True
        self.trainer = Trainer(
            model=self.model,
            args=self._get_training_args(args),
            train_dataset=train_dataset,
            processing_class=self.tokenizer,
            data_collator=data_collator,
            callbacks=list(args.callbacks),
        )
        self.trainer.remove_callback(PrinterCallback)
        try:
            self.trainer.train()
        finally:
            self.model.eval()

    def _load_pipeline(self) -> None:
        """The pipeline, which decodes tokens to exactly the text that they stand for."""
        verbosity = transformers_logging.get_verbosity()
        transformers_logging.set_verbosity_error()  # it warns of the device, which Happy Transformer told already
        super()._load_pipeline()
        transformers_logging.set_verbosity(verbosity)
        self._pipeline._postprocess_params["clean_up_tokenization_spaces"] = False

    def never_write(self, words: Sequence[str]) -> None:
        """From now on, write none of these words (none: write anything)."""
        self._load_pipeline()
        processors = LogitsProcessorList([NeverWritten(words, self.tokenizer)] if words else [])
        self._pipeline._forward_params["logits_processor"] = processors

    def save(self, path: str | Path) -> None:
        """Save model and tokenizer to a fresh folder, in eval mode."""
        self.model.eval()
        save_model(self.model, self.tokenizer, Path(path))


def _grow_embeddings(model: PreTrainedModel, size: int) -> None:
    rows: int = model.get_input_embeddings().weight.shape[0]  # type: ignore[index,assignment]
    if size > rows:
        PreTrainedModel.resize_token_embeddings(model, size)


class _NoFutureDeprecations(logging.Filter):
    """Drop the notes on what Happy Transformer 4 will not have: the version is pinned."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is shown."""
        return "4.0.0" not in str(record.msg)
