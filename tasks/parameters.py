"""The parameters of a run: frozen Pydantic groups, which are the command line, the YAML file and the form in the UI.

A default is defined here and nowhere else. The module imports Pydantic only, so that `--help` is quick. Names are those
of Happy Transformer's tables, then Hugging Face's.
"""

import re
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

ScratchPreset = Literal["scratch-tiny", "scratch-125m", "scratch-1.3b"]
"""Base models with random weights: what runs without any hub."""

SCRATCH_PRESETS: tuple[str, ...] = get_args(ScratchPreset)

LearningRateSchedule = Literal[
    "linear", "cosine", "cosine_with_restarts", "polynomial", "constant", "constant_with_warmup", "inverse_sqrt"
]
"""Hugging Face's schedules that need no further argument."""

_LIMIT_SIGNS = {"gt": ">", "ge": "≥", "lt": "<", "le": "≤"}
_RELEASE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+=-]*")


class Group(BaseModel):
    """A frozen group of parameters; unknown names are refused, and each description states the limits of its field."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        """Append the limits of each field to its description, for `--help` and for the form in the UI."""
        super().__pydantic_init_subclass__(**kwargs)
        for field in cls.model_fields.values():
            limits = ", ".join(
                f"{sign} {getattr(limit, name)}"
                for limit in field.metadata
                for name, sign in _LIMIT_SIGNS.items()
                if hasattr(limit, name)
            )
            if limits and field.description and f"[{limits}]" not in field.description:
                field.description = f"{field.description} [{limits}]"
        cls.model_rebuild(force=True)


class CorpusParameters(Group):
    """Which texts the corpus consists of."""

    source: tuple[str, ...] = ("data/templates/cheese.spintax",)
    """Files with templates (.spintax, or Markdown with spintax fences) or text (.txt with one document per line, .csv,
    .jsonl or .parquet). A path in the current folder or in the project's, or an object, s3://bucket/folder/file.txt."""

    template: str | None = None
    """A spintax template, used instead of `source`."""

    column: str = "text"
    """Column (or JSON field) with the text in .csv, .jsonl and .parquet files."""

    num_documents: Annotated[int, Field(ge=2)] = 6000
    """Number of distinct documents to draw from the templates (all, if they have fewer). Text files are used whole."""

    mix: Literal["derivations", "equal"] = "derivations"
    """How several templates share `num_documents`: each derivation equally likely, or the same number per template."""

    collapse_whitespace: bool = False
    """Replace every run of white space, line breaks included, by one space."""

    ignore_case: bool = False
    """Treat documents that differ only in case as duplicates; the text itself keeps its case."""

    min_characters: Annotated[int | None, Field(ge=1)] = None
    """Reject documents with fewer characters."""

    max_characters: Annotated[int | None, Field(ge=1)] = None
    """Reject documents with more characters."""

    near_duplicates: Annotated[float | None, Field(gt=0, lt=1)] = None
    """Reject a document of a text file that shares at least this fraction of its 5-grams of words with another one
    (MinHash; 0.7 is usual). Needs the library datasketch. Not for templates."""

    split: Literal["line", "combination"] = "line"
    """Hold out random documents, or (templates only) every document with certain pairs of options: each option occurs
    in training, these pairs never do."""

    eval_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """Fraction of the documents that is held out to measure the loss."""

    max_eval_documents: Annotated[int, Field(ge=1)] = 10_000
    """Maximum number of held-out documents."""

    order: Literal["shuffled", "sorted"] = "shuffled"
    """Order of the documents: shuffled, or sorted by code point."""

    seed: Annotated[int, Field(ge=0, lt=2**64)] = 0
    """Random seed for drawing, shuffling and splitting."""

    @model_validator(mode="after")
    def _some_length_is_left(self) -> "CorpusParameters":
        if self.min_characters and self.max_characters and self.min_characters > self.max_characters:
            raise ValueError(
                f"min_characters ({self.min_characters:,}) is larger than max_characters ({self.max_characters:,}): "
                "lower it"
            )
        return self

    @field_validator("source", mode="before")
    @classmethod
    def _one_path_is_a_list_of_one(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value


class TokenParameters(Group):
    """How the corpus is split into blocks of tokens."""

    block_size: Annotated[int | None, Field(ge=8)] = None
    """Tokens per block, at most the model's maximum length. Default: chosen from the length of the documents."""


class ModelParameters(Group):
    """Which model is the base model."""

    name: str = "scratch-tiny"
    """A preset with random weights (scratch-tiny, scratch-125m, scratch-1.3b), a model id of the Hugging Face Hub
    (EleutherAI/gpt-neo-125m), a local folder, or a release (s3://bucket/prefix/name@latest, data/store/name@latest)."""

    type: str = "GPT-NEO"
    """Model type of Happy Transformer (GPT-NEO, GPT2, ...). The presets are GPT-Neo models."""


class SampledModelParameters(ModelParameters):
    """Which model writes samples."""

    name: str = "latest"
    """A preset, model id, folder or release, or `latest`: the newest release at release.destination."""


class TrainingParameters(Group):
    """How the base model is fine-tuned: the names of the seed's table, then Hugging Face's names."""

    learning_rate: Annotated[float | None, Field(gt=0, le=1)] = None
    """The initial learning rate for AdamW. Default: 5e-5 for a pretrained model, the preset's recipe for a model from
    scratch."""

    num_train_epochs: Annotated[float, Field(gt=0)] = 3.0
    """Total number of training epochs."""

    max_steps: Annotated[int | None, Field(ge=1)] = None
    """Total number of optimizer steps; overrides num_train_epochs."""

    batch_size: Annotated[int | None, Field(ge=1)] = None
    """Blocks per batch and process. Default: 1 for a pretrained model, the preset's recipe for a model from scratch."""

    gradient_accumulation_steps: Annotated[int, Field(ge=1)] = 1
    """Number of batches to accumulate gradients for, before an optimizer step."""

    gradient_checkpointing: bool = False
    """Recompute activations in the backward pass to save memory; about a third slower."""

    lr_scheduler_type: LearningRateSchedule | None = None
    """Learning rate schedule. Default: linear for a pretrained model, cosine for a model from scratch."""

    warmup_ratio: Annotated[float | None, Field(ge=0, lt=1)] = None
    """Fraction of the steps used for a linear warmup from 0. Default: 0 for a pretrained model, 0.1 for a model from
    scratch."""

    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    """Weight decay for AdamW."""

    adam_beta1: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """The beta1 hyperparameter for AdamW."""

    adam_beta2: Annotated[float, Field(ge=0, lt=1)] = 0.999
    """The beta2 hyperparameter for AdamW."""

    adam_epsilon: Annotated[float, Field(gt=0)] = 1e-8
    """The epsilon hyperparameter for AdamW."""

    max_grad_norm: Annotated[float, Field(gt=0)] = 1.0
    """Maximum gradient norm, for gradient clipping."""

    save_preprocessed_data: bool = False
    """Save the token blocks as one JSON file in the format of Happy Transformer 2.x."""

    save_preprocessed_data_path: str = ""
    """Path of the file to save, for example preprocessed-data.json."""

    load_preprocessed_data: bool = False
    """Train on such a file instead of tokenizing the corpus."""

    load_preprocessed_data_path: str = ""
    """Path of the file to load."""

    preprocessing_processes: Annotated[int, Field(ge=1)] = 1
    """Number of processes that tokenize (one for up to 1,000 documents)."""

    fp16: bool = False
    """Train in float16 mixed precision. Needs a CUDA GPU; GPT-Neo overflows in it, so prefer bf16."""

    bf16: bool | None = None
    """Train in bfloat16 mixed precision, which is faster and has the range of float32. Default: on where the hardware
    (GPU or CPU) supports it."""

    torch_compile: bool = False
    """Compile the model with torch.compile: needs a C++ compiler and minutes at the start, then steps are faster."""

    seed: Annotated[int, Field(ge=0, lt=2**32)] = 42
    """Random seed for the weights of a model from scratch, the order of the blocks and dropout."""

    eval_steps: Annotated[int | None, Field(ge=1)] = None
    """Number of steps between two evaluations of the held-out loss; it is also evaluated before the first step and
    after the last. Default: ten evaluations per run."""

    save_steps: Annotated[int | None, Field(ge=1)] = None
    """Number of steps between two checkpoints. Default: eval_steps, at most 500."""

    save_total_limit: Annotated[int, Field(ge=1)] = 2
    """Maximum number of checkpoints during training; they are deleted when it ends."""

    share_checkpoints: bool = False
    """Copy each checkpoint to release.destination, so that another machine can resume."""

    load_best_model_at_end: bool = False
    """Load the weights with the lowest held-out loss at the end of training."""

    early_stopping_patience: Annotated[int | None, Field(ge=1)] = None
    """Stop when the held-out loss has not improved for this many evaluations. Default: off."""

    lora_rank: Annotated[int | None, Field(ge=1)] = None
    """Train LoRA adapters of this rank instead of all weights, to save memory. They are merged into the model when it
    is saved. Default: off."""

    lora_alpha: Annotated[float | None, Field(gt=0)] = None
    """LoRA scaling: adapters are multiplied by lora_alpha / lora_rank. Default: twice lora_rank."""

    lora_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Dropout probability of the LoRA layers."""

    lora_target_modules: tuple[str, ...] | None = None
    """Names of the modules that get adapters. Default: all attention and MLP projections of GPT-Neo and GPT-2."""

    num_processes: Annotated[int | None, Field(ge=1)] = None
    """Number of training processes, launched by torchrun; each has batches of batch_size. Default: one per GPU, or
    one."""

    fsdp: bool = False
    """Shard parameters, gradients and optimizer states over the processes (Fully Sharded Data Parallel)."""

    @field_validator("lora_target_modules", mode="before")
    @classmethod
    def _one_layer_is_a_list_of_one(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _precisions_and_adapters_make_sense(self) -> "TrainingParameters":
        if self.fp16 and self.bf16:
            raise ValueError("fp16 and bf16 are both on: choose one")
        if self.lora_rank is None and (self.lora_alpha or self.lora_dropout or self.lora_target_modules):
            raise ValueError("lora_alpha, lora_dropout and lora_target_modules need lora_rank: give it, 8 is usual")
        if self.fsdp and self.lora_rank is not None:
            raise ValueError("fsdp shards full training and lora_rank trains adapters: choose one")
        return self

    @model_validator(mode="after")
    def _a_file_to_save_or_load_has_a_path(self) -> "TrainingParameters":
        if self.save_preprocessed_data and not self.save_preprocessed_data_path:
            raise ValueError("save_preprocessed_data is on, but save_preprocessed_data_path is empty: name a file")
        if self.load_preprocessed_data and not self.load_preprocessed_data_path:
            raise ValueError("load_preprocessed_data is on, but load_preprocessed_data_path is empty: name a file")
        return self


class SamplingParameters(Group):
    """How the model writes samples, before and after training; Happy Transformer's names."""

    prompts: tuple[str, ...] = ("To make a cheese sandwich ", "you can", "anyone can build a basic cheese sandwich")
    """Prompts for the model to continue."""

    held_out_prompts: Annotated[int, Field(ge=0, le=1000)] = 2
    """In a run: number of further prompts, each the beginning of a held-out document."""

    num_samples: Annotated[int, Field(ge=1)] = 3
    """Number of samples per prompt."""

    seed: Annotated[int, Field(ge=0)] = 0
    """Random seed; sample i of prompt p has the same random numbers before and after training."""

    min_length: Annotated[int, Field(ge=0)] = 1
    """Minimum number of tokens to generate, without the prompt."""

    max_length: Annotated[int, Field(ge=1)] = 50
    """Maximum number of tokens to generate, without the prompt."""

    do_sample: bool = True
    """Use sampling; off: greedy decoding."""

    early_stopping: bool = False
    """With num_beams > 1: stop as soon as there are num_beams complete candidates."""

    num_beams: Annotated[int, Field(ge=1)] = 1
    """Number of beams for beam search; 1 means no beam search."""

    temperature: Annotated[float, Field(gt=0)] = 0.8
    """Scales the next token probabilities: below 1 likely tokens become likelier, above 1 the distribution flatter."""

    top_k: Annotated[int, Field(ge=0)] = 5
    """Number of highest probability tokens to sample from (0: all)."""

    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Sample from the smallest set of most probable tokens whose probabilities add up to top_p or more."""

    no_repeat_ngram_size: Annotated[int, Field(ge=0)] = 0
    """N-grams of this size can occur only once (0: off)."""

    bad_words: tuple[str, ...] = ()
    """Words, or parts of words, that are never generated."""

    @field_validator("prompts", "bad_words", mode="before")
    @classmethod
    def _one_text_is_a_list_of_one(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _lengths_and_prompts_make_sense(self) -> "SamplingParameters":
        if self.min_length > self.max_length:
            raise ValueError(f"min_length ({self.min_length}) is larger than max_length ({self.max_length}): lower it")
        if not self.prompts or not all(self.prompts):
            raise ValueError("prompts has an empty prompt or none: give each at least one character")
        return self


class ReleaseParameters(Group):
    """Where the release goes and what it is called."""

    destination: str = "data/store"
    """A folder (served over S3 by an embedded server during the run), or s3://bucket/prefix. data/... is in the data
    folder."""

    name: Annotated[str, Field(pattern=_RELEASE_NAME.pattern, max_length=100)] = "spinneret"
    """Name of the release: letters, digits and . _ + = -"""

    gate: Literal["on", "off"] = "on"
    """on: the alias `champion` moves to the new version only if its held-out loss is lower than the champion's (without
    one: the base model's) by more than noise and the limits below hold. off: it always moves, as `latest` does."""

    max_loss: Annotated[float | None, Field(gt=0)] = None
    """Limit of the gate: maximum held-out loss, in nats per token."""

    min_valid: Annotated[float | None, Field(ge=0, le=1)] = None
    """Limit of the gate: minimum fraction of samples that are sentences of the templates."""

    max_copied: Annotated[float | None, Field(ge=0, le=1)] = None
    """Limit of the gate: maximum fraction of samples that are training documents or, for text files, of their 4-grams
    of words that occur in the training set."""

    max_repetition: Annotated[float | None, Field(ge=0, le=1)] = None
    """Limit of the gate: maximum fraction of 4-grams of words that a sample repeats, on average."""

    @field_validator("name")
    @classmethod
    def _name_is_one_segment(cls, value: str) -> str:
        if not _RELEASE_NAME.fullmatch(value):
            raise ValueError(f"{value!r} is not a valid release name: use letters, digits and . _ + = - only")
        return value


class RunParameters(Group):
    """All parameters of a run."""

    corpus: CorpusParameters = CorpusParameters()
    tokens: TokenParameters = TokenParameters()
    model: ModelParameters = ModelParameters()
    training: TrainingParameters = TrainingParameters()
    sampling: SamplingParameters = SamplingParameters()
    release: ReleaseParameters = ReleaseParameters()


def flag(group: str, field: str) -> str:
    """The command-line flag of a parameter, for error messages: `flag("training", "batch_size")`."""
    return f"--{group}.{field.replace('_', '-')}"
