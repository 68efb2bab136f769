"""Errors of loading a model: what Hugging Face raises becomes one sentence for the user."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tasks.errors import InputError, SpinneretError, UnavailableError
from tasks.parameters import SCRATCH_PRESETS

_OTHER_TASK = re.compile(r"For(?!CausalLM)[A-Z]")
"""Architectures such as BertForMaskedLM and T5ForConditionalGeneration."""

_REFUSED = {401, 403, 404}


@contextmanager
def loading(name: str) -> Iterator[None]:
    """Turn any exception of `from_pretrained` for the model `name` into InputError or UnavailableError.

    It has to catch Exception: for a damaged tokenizer.json, Hugging Face raises no narrower class.

    Raises:
        InputError: the model is damaged, of another kind, or unknown to the hub, or the hub denies access.
        UnavailableError: the hub does not answer.
    """
    try:
        yield
    except SpinneretError:
        raise
    except Exception as error:
        if Path(name).is_dir():
            raise _damaged(name, error) from error
        raise _hub_error(name, error) from error


def check_writes_text(name: str, config: Any) -> None:
    """Raise InputError if the config belongs to a model for another task (BERT loads, but cannot generate)."""
    architectures: list[str] = getattr(config, "architectures", None) or []
    if any(_OTHER_TASK.search(architecture) for architecture in architectures):
        raise InputError(
            f"--model.name {name}: a model of type {config.model_type} ({', '.join(architectures)}) does not write "
            "text; choose a GPT model (GPT-Neo, GPT-2)."
        )


def check_end_of_text(name: str, tokenizer: Any) -> None:
    """Raise InputError if the tokenizer has no end-of-text token."""
    if tokenizer.eos_token_id is None:
        raise InputError(
            f"--model.name {name}: its tokenizer has no end-of-text token, so documents cannot be separated; "
            "choose a GPT model (GPT-Neo, GPT-2)."
        )


def check_complete(name: str, missing: list[str]) -> None:
    """Raise InputError if weights are missing: Hugging Face would initialize them at random."""
    if missing:
        raise InputError(
            f"--model.name {name}: {len(missing):,} of its weights are missing ({missing[0]}, ...), so the weights "
            "file is damaged or belongs to another model; save or download the model again."
        )


def positions(model_config: Any) -> int:
    """The context length of a model, in tokens."""
    names: Sequence[str] = ("max_position_embeddings", "n_positions", "n_ctx")
    return next((int(getattr(model_config, name)) for name in names if getattr(model_config, name, None)), 1024)


def _damaged(name: str, error: Exception) -> InputError:
    return InputError(
        f"--model.name {name}: the model in the folder cannot be loaded ({_first_line(error)}); name a folder that "
        f"save_pretrained wrote, or a preset: {', '.join(SCRATCH_PRESETS)}."
    )


def _hub_error(name: str, error: Exception) -> SpinneretError:
    from huggingface_hub import constants
    from huggingface_hub.errors import LocalEntryNotFoundError, OfflineModeIsEnabled
    from requests import RequestException

    chain = list(_chain(error))
    statuses = {getattr(getattr(link, "response", None), "status_code", None) for link in chain}
    offline = f"without a hub, use a preset ({', '.join(SCRATCH_PRESETS)}) or a local folder"
    if statuses & _REFUSED:
        return InputError(
            f"--model.name {name}: there is no such folder, and the hub at {constants.ENDPOINT} has no such model or "
            f"requires a token with read access (HF_TOKEN); check the name, or {offline}."
        )
    if any(isinstance(link, LocalEntryNotFoundError | OfflineModeIsEnabled | RequestException) for link in chain):
        return UnavailableError(
            f"--model.name {name}: the model hub at {constants.ENDPOINT} did not answer, or the model is not complete "
            f"in Hugging Face's cache; check the network, set HF_HUB_OFFLINE=1 to use only the cache, or, {offline}."
        )
    return InputError(
        f"--model.name {name}: the hub at {constants.ENDPOINT} has it, but it cannot be loaded as a model "
        f"({_first_line(error)}); choose a GPT model (GPT-Neo, GPT-2), or, {offline}."
    )


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:200].rstrip(". ")
