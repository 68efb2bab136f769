"""Command line: words in, the parameters of a flow (or of a verb of a flow's file) out.

What comes in: a flow or function whose parameters are groups, and the words of the command line. What it leaves: the
groups, from flags (`--training.learning-rate 8e-5`) over a YAML file (`--config run.yaml`) over the defaults, and the
switches of the command, which are no parameters of the flow (`--plan`); or `--help`; or one sentence that names the
flag, with the nearest name for a misspelt one.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import pydantic
import yaml
from cyclopts import App, ArgumentCollection, CycloptsError, Group, Parameter, UnusedCliTokensError
from cyclopts.config import Dict

from tasks.errors import InputError
from tasks.parameters import flag

if TYPE_CHECKING:
    from prefect import Flow

_CONFIG = inspect.Parameter(
    "config",
    inspect.Parameter.KEYWORD_ONLY,
    default=None,
    annotation=Annotated[Path | None, Parameter(help="YAML file of parameters, by group; flags override it.")],
)

_OF_A_RUN = {
    "no_ui": "Serve no live UI while the run lasts (a server at PREFECT_API_URL has its own).",
    "quiet": "Say only what is a warning or an error, and the end of the run.",
    "verbose": "Say all that Prefect and the libraries say, with tracebacks.",
}
SWITCHES = {
    "train": {
        "plan": "Say what the run would take (steps, memory, time) and what makes no sense in it, and train nothing.",
        "json": "With --plan: print one JSON object instead of a table.",
        **_OF_A_RUN,
    },
    "prepare": _OF_A_RUN,
    "release": {"json": "Print one JSON object instead of a table."},
}
"""File in flows/ → switches of its command, each with its description."""


@dataclass(frozen=True)
class Told:
    """What the words of a command line say."""

    parameters: dict[str, Any]
    """For calling the flow."""
    switches: frozenset[str]
    """Those that are on."""


def read_parameters(flow: "Flow[..., Any]", words: list[str]) -> dict[str, Any]:
    """The parameters that `words` name, for calling the flow; exits with 0 after `--help`, InputError on bad words."""
    return read_words(flow.fn, words, script=flow.name).parameters


def read_words(function: Callable[..., Any], words: list[str], *, script: str, verb: str = "") -> Told:
    """The parameters and the switches that `words` name; exits with 0 after `--help`, InputError on bad words.

    `script` is the file in flows/ that was called, `verb` what it was asked for where it does several things.
    """
    signature = inspect.signature(function)
    known = SWITCHES.get(script, {})

    def read(*args: Any, **kwargs: Any) -> Told:
        kwargs.pop("config", None)
        switches = frozenset(name for name in known if kwargs.pop(name, False))
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return Told(dict(bound.arguments), switches)

    read.__doc__ = function.__doc__
    read.__signature__ = _in_panels(signature, known)  # type: ignore[attr-defined]
    app = App(
        name=f"python flows/{script}.py {verb}".strip(),
        default_command=read,
        version_flags=[],
        config=_read_config,
        result_action="return_value",
        help_format="plaintext",
        default_parameter=Parameter(negative_iterable=""),
    )
    try:
        told: Told | None = app(words, exit_on_error=False, print_error=False)
    except CycloptsError as error:
        raise InputError(_sentence(error, signature)) from error
    if told is None:
        raise SystemExit(0)
    return told


def _in_panels(signature: inspect.Signature, switches: dict[str, str]) -> inspect.Signature:
    """The signature with `--config` and the switches, and with a panel of `--help` for each group."""
    panels = [
        parameter.replace(annotation=Annotated[parameter.annotation, Parameter(group=Group(name, sort_key=number))])
        if _is_group(parameter.annotation)
        else parameter
        for number, (name, parameter) in enumerate(signature.parameters.items())
    ]
    added = [_switch(name, sentence) for name, sentence in switches.items()]
    return signature.replace(parameters=[*panels, _CONFIG, *added], return_annotation=Told)


def _is_group(annotation: Any) -> bool:
    """Whether a parameter is a group of parameters."""
    return isinstance(annotation, type) and issubclass(annotation, pydantic.BaseModel)


def _switch(name: str, sentence: str) -> inspect.Parameter:
    annotation = Annotated[bool, Parameter(help=sentence, negative="")]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=False, annotation=annotation)


def _read_config(app: App, commands: tuple[str, ...], arguments: ArgumentCollection) -> None:
    """Put the values of the file that `--config` names behind those of the flags."""
    named = [token.value for argument in arguments if argument.name == "--config" for token in argument.tokens]
    for path in named:
        Dict(_read_yaml(Path(path)), source=path)(app, commands, arguments)


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        read = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"--config {path}: cannot be read ({error}); name a YAML file of parameters.") from error
    except yaml.MarkedYAMLError as error:
        place = f":{error.problem_mark.line + 1}:{error.problem_mark.column + 1}" if error.problem_mark else ""
        raise InputError(f"{path}{place}: this is no YAML ({error.problem}); correct it.") from error
    except yaml.YAMLError as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path}: this is no YAML ({reason}); correct it.") from error
    if not isinstance(read, dict) or not all(isinstance(group, dict) for group in read.values()):
        raise InputError(f"--config {path}: wanted groups of parameters, as `training: {{batch_size: 4}}`.")
    return read


def _sentence(error: CycloptsError, signature: inspect.Signature) -> str:
    if isinstance(error, UnusedCliTokensError):
        words = " ".join(map(repr, error.unused_tokens or []))
        return f"{words} belongs to no flag; a flag takes one value, so repeat it for each: --x a --x b. See --help."
    cause = error.__cause__ or error.__context__
    if not isinstance(cause, pydantic.ValidationError):
        return f"{str(error).strip()} See --help."
    groups = {name: one.annotation for name, one in signature.parameters.items() if _is_group(one.annotation)}
    group = next((name for name, one in groups.items() if one.__name__ in cause.title), "")
    first = cause.errors()[0]
    message = first["msg"].removeprefix("Value error, ").removeprefix("Input ")
    if not group:
        name = error.argument.name if error.argument else ""
        return f"{name}: got {first['input']!r}, it {message}; see --help."
    if not first["loc"]:
        return f"--{group}: {message}."
    return f"{flag(group, str(first['loc'][0]))}: got {first['input']!r}, it {message}; see --help."
