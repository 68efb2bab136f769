"""What a run is told: one frozen Pydantic group for each room.

What comes in: values from the command line (`--training.learning-rate 8e-5`), from a YAML file (`--config run.yaml`),
from a deployment or from the form in the Prefect UI. What it leaves: checked, immutable groups; a default lives here
and nowhere else. It imports Pydantic only, so that `--help`, a deploy and the UI are quick.

Names that stand in Happy Transformer's tables keep exactly those names; other numbers keep Hugging Face's.
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
"""Hugging Face's schedules that need no argument of their own."""

_LIMIT_SIGNS = {"gt": ">", "ge": "≥", "lt": "<", "le": "≤"}
_RELEASE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+=-]*")


class Group(BaseModel):
    """A frozen group of parameters; unknown names are refused, and each description states its limits."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        """Write the limits of each field behind its description, for `--help` and for the form alike."""
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
    """Which texts the corpus is made of."""

    source: tuple[str, ...] = ("data/templates/cheese.spintax",)
    """Files to take documents from: .spintax, Markdown with spintax fences, .txt (a document a line), .csv, .jsonl or
    .parquet. Relative to the current folder, or else to the project's; or an object, s3://bucket/folder/file.txt."""

    template: str | None = None
    """A spintax template typed in; where it is given, `source` is not read."""

    column: str = "text"
    """Column (or JSON field) that holds the text in .csv, .jsonl and .parquet files."""

    num_documents: Annotated[int, Field(ge=2)] = 6000
    """How many distinct documents to draw from the templates (all that they have, if they have fewer). Own text is
    taken whole."""

    mix: Literal["derivations", "equal"] = "derivations"
    """How several templates share `num_documents`: each derivation equally likely, or each template equally many."""

    collapse_whitespace: bool = False
    """Make every run of white space (line ends too) one space."""

    ignore_case: bool = False
    """Documents that differ in case only are duplicates; the text itself keeps its case."""

    min_characters: Annotated[int | None, Field(ge=1)] = None
    """Documents with fewer characters are rejected."""

    max_characters: Annotated[int | None, Field(ge=1)] = None
    """Documents with more characters are rejected."""

    near_duplicates: Annotated[float | None, Field(gt=0, lt=1)] = None
    """Reject a document of own text that shares at least this part of its runs of five words with another (MinHash;
    0.7 is usual). Needs the library datasketch. Not for templates."""

    split: Literal["line", "combination"] = "line"
    """Hold out documents at random, or (templates only) every document with certain pairs of options: each option is
    trained on, these pairs never."""

    eval_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """Share of the documents that is held out of training to measure the loss."""

    max_eval_documents: Annotated[int, Field(ge=1)] = 10_000
    """Most documents to hold out."""

    order: Literal["shuffled", "sorted"] = "shuffled"
    """Order of the documents in the corpus files: shuffled, or sorted by code point."""

    seed: Annotated[int, Field(ge=0, lt=2**64)] = 0
    """Seed of the drawing, the shuffling and the split."""

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
    """How the corpus is cut into token blocks."""

    block_size: Annotated[int | None, Field(ge=8)] = None
    """Tokens in a block, at most the model's positions. Left out: chosen from the length of the documents."""


class ModelParameters(Group):
    """Which model is the base model."""

    name: str = "scratch-tiny"
    """The base model: a preset with random weights (scratch-tiny, scratch-125m, scratch-1.3b), a Hugging Face id
    (EleutherAI/gpt-neo-125m), a local folder, or a release (s3://bucket/prefix/name@latest, data/store/name@latest)."""

    type: str = "GPT-NEO"
    """Happy Transformer's model type (GPT-NEO, GPT2, ...). The presets are GPT-Neo models."""


class SampledModelParameters(ModelParameters):
    """Which model writes samples."""

    name: str = "latest"
    """What training takes (preset, hub id, folder, release), or `latest`: the newest release at release.destination."""


class TrainingParameters(Group):
    """How the base model is fine-tuned: the seed's table with its names and defaults, then Hugging Face's names."""

    learning_rate: Annotated[float | None, Field(gt=0, le=1)] = None
    """How much the weights are adjusted per step. Left out: 5e-5 for a pretrained model, the recipe of the preset for
    a model from scratch."""

    num_train_epochs: Annotated[float, Field(gt=0)] = 3.0
    """How often the training data is iterated over."""

    max_steps: Annotated[int | None, Field(ge=1)] = None
    """Optimizer steps to take, whatever num_train_epochs says. Left out: num_train_epochs decides."""

    batch_size: Annotated[int | None, Field(ge=1)] = None
    """Blocks that each process works on at once. Left out: 1 for a pretrained model, the recipe of the preset for a
    model from scratch."""

    gradient_accumulation_steps: Annotated[int, Field(ge=1)] = 1
    """Batches whose gradients make one optimizer step: a larger batch in the memory of a smaller one."""

    gradient_checkpointing: bool = False
    """Compute activations again in the backward pass instead of keeping them: less memory, about a third slower."""

    lr_scheduler_type: LearningRateSchedule | None = None
    """How the learning rate changes over the run. Left out: linear for a pretrained model, cosine from scratch."""

    warmup_ratio: Annotated[float | None, Field(ge=0, lt=1)] = None
    """Share of the steps in which the learning rate rises from 0. Left out: 0 for a pretrained model, 0.1 from
    scratch."""

    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    """Regularisation that keeps weights from growing too large."""

    adam_beta1: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """The beta1 parameter of AdamW."""

    adam_beta2: Annotated[float, Field(ge=0, lt=1)] = 0.999
    """The beta2 parameter of AdamW."""

    adam_epsilon: Annotated[float, Field(gt=0)] = 1e-8
    """The epsilon parameter of AdamW."""

    max_grad_norm: Annotated[float, Field(gt=0)] = 1.0
    """Gradients are scaled down to this norm, which prevents exploding gradients."""

    save_preprocessed_data: bool = False
    """Also write the token blocks as one JSON file in the format of Happy Transformer 2.x."""

    save_preprocessed_data_path: str = ""
    """Where to write that file, for example preprocessed-data.json."""

    load_preprocessed_data: bool = False
    """Train from such a file instead of tokenizing the corpus."""

    load_preprocessed_data_path: str = ""
    """The file to train from."""

    preprocessing_processes: Annotated[int, Field(ge=1)] = 1
    """Processes that tokenize (1,000 documents or fewer take one)."""

    fp16: bool = False
    """Half precision training, which saves memory. Needs a CUDA GPU; GPT-Neo overflows in it, so prefer bf16."""

    bf16: bool | None = None
    """Training in bfloat16, which is faster and overflows no sooner than full precision. Left out: wherever the
    hardware has it, GPU or CPU."""

    torch_compile: bool = False
    """Compile the model first: minutes at the start (and a C++ compiler), faster steps afterwards."""

    seed: Annotated[int, Field(ge=0, lt=2**32)] = 42
    """Seed of the random weights of a model from scratch, of the order of the blocks and of dropout."""

    eval_steps: Annotated[int | None, Field(ge=1)] = None
    """Steps between two measurements of the held-out loss; the first is before any step, the last after the last.
    Left out: ten in a run."""

    save_steps: Annotated[int | None, Field(ge=1)] = None
    """Steps between two checkpoints: the most that an interrupted training loses. Left out: as eval_steps, but 500 at
    most."""

    save_total_limit: Annotated[int, Field(ge=1)] = 2
    """Checkpoints to keep while training; none are kept after it."""

    share_checkpoints: bool = False
    """Also copy each checkpoint to release.destination, so that another machine can go on."""

    load_best_model_at_end: bool = False
    """Keep the weights with the lowest held-out loss instead of the last ones."""

    early_stopping_patience: Annotated[int | None, Field(ge=1)] = None
    """End when the held-out loss has not fallen for this many measurements. Left out: never."""

    lora_rank: Annotated[int | None, Field(ge=1)] = None
    """Train low-rank adapters of this rank instead of all weights (LoRA, by the library peft): far less memory. They
    are merged into the model when it is saved. Left out: all weights are trained."""

    lora_alpha: Annotated[float | None, Field(gt=0)] = None
    """Adapters act with weight lora_alpha / lora_rank. Left out: twice lora_rank."""

    lora_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Dropout before the adapters."""

    lora_target_modules: tuple[str, ...] | None = None
    """Names of the layers that get adapters. Left out: all projections of attention and MLP of GPT-Neo and GPT-2."""

    num_processes: Annotated[int | None, Field(ge=1)] = None
    """Processes that train together, launched by torchrun; each takes batch_size blocks. Left out: one for each GPU,
    or one."""

    fsdp: bool = False
    """Shard weights, gradients and optimizer over the processes, for a model that does not fit into one."""

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
        for verb in ("save", "load"):
            wanted = getattr(self, f"{verb}_preprocessed_data")
            path = getattr(self, f"{verb}_preprocessed_data_path")
            if wanted and not path:
                raise ValueError(
                    f"{verb}_preprocessed_data is on, but {verb}_preprocessed_data_path is empty: name a file"
                )
        return self


class SamplingParameters(Group):
    """What the model is asked to write, before and after; Happy Transformer's names."""

    prompts: tuple[str, ...] = ("To make a cheese sandwich ", "you can", "anyone can build a basic cheese sandwich")
    """Prompts that the samples go on from."""

    held_out_prompts: Annotated[int, Field(ge=0, le=1000)] = 2
    """In a run: so many prompts more, each the beginning of a held-out document."""

    num_samples: Annotated[int, Field(ge=1)] = 3
    """Samples for each prompt."""

    seed: Annotated[int, Field(ge=0)] = 0
    """Seed of the sampling; sample i of prompt p has the same random numbers before and after training."""

    min_length: Annotated[int, Field(ge=0)] = 1
    """Fewest tokens to write: the model cannot end before."""

    max_length: Annotated[int, Field(ge=1)] = 50
    """Most tokens to write, the prompt not counted."""

    do_sample: bool = True
    """Draw each token at random; off: always take the likeliest."""

    early_stopping: bool = False
    """With num_beams > 1: stop when enough beams have ended."""

    num_beams: Annotated[int, Field(ge=1)] = 1
    """Beams of a beam search; 1 is none."""

    temperature: Annotated[float, Field(gt=0)] = 0.8
    """Below 1 the likely tokens get likelier, above 1 the draw gets more even."""

    top_k: Annotated[int, Field(ge=0)] = 5
    """Draw from the k likeliest tokens only (0: from all)."""

    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Draw from the likeliest tokens that together have this probability."""

    no_repeat_ngram_size: Annotated[int, Field(ge=0)] = 0
    """No run of this many tokens occurs twice (0: no such limit)."""

    bad_words: tuple[str, ...] = ()
    """Words, or parts of words, that are never written."""

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
    """A folder (served over S3 by an embedded server while the run lasts), or s3://bucket/prefix. data/... lies in the
    data folder."""

    name: Annotated[str, Field(pattern=_RELEASE_NAME.pattern, max_length=100)] = "spinneret"
    """Name of the release: letters, digits and . _ + = -"""

    gate: Literal["on", "off"] = "on"
    """When the alias `champion` moves to the new version (`latest` always does). on: where its held-out loss is lower
    than the champion's (the base model's, where there is none) by more than noise, and the limits below hold."""

    max_loss: Annotated[float | None, Field(gt=0)] = None
    """Limit of the gate: highest held-out loss in nats a token."""

    min_valid: Annotated[float | None, Field(ge=0, le=1)] = None
    """Limit of the gate: lowest share of samples that are sentences of the templates."""

    max_copied: Annotated[float | None, Field(ge=0, le=1)] = None
    """Limit of the gate: highest share of samples that are training documents, or, for own text, of their runs of four
    words that stand in the training set."""

    max_repetition: Annotated[float | None, Field(ge=0, le=1)] = None
    """Limit of the gate: highest share of runs of four words that a sample repeats, on average."""

    @field_validator("name")
    @classmethod
    def _name_is_one_segment(cls, value: str) -> str:
        if not _RELEASE_NAME.fullmatch(value):
            raise ValueError(f"{value!r} is no release name: use letters, digits and . _ + = - only")
        return value


class RunParameters(Group):
    """What a whole run is told."""

    corpus: CorpusParameters = CorpusParameters()
    tokens: TokenParameters = TokenParameters()
    model: ModelParameters = ModelParameters()
    training: TrainingParameters = TrainingParameters()
    sampling: SamplingParameters = SamplingParameters()
    release: ReleaseParameters = ReleaseParameters()


def flag(group: str, field: str) -> str:
    """The command-line flag of a parameter, for error messages: `flag("training", "batch_size")`."""
    return f"--{group}.{field.replace('_', '-')}"
