"""Parses the command line of a flow or of a release verb, from the signature of its function.

Flags (`--training.learning-rate 8e-5`) override a YAML file (`--config run.yaml`), which overrides the defaults.
Switches (`--plan`) are flags of the command that are not parameters of the flow.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import pydantic
import yaml
from cyclopts import App, ArgumentCollection, CycloptsError, Group, Parameter, UnusedCliTokensError
from cyclopts.config import Dict

from tasks.errors import InputError
from tasks.parameters import flag

_CONFIG = inspect.Parameter(
    "config",
    inspect.Parameter.KEYWORD_ONLY,
    default=None,
    annotation=Annotated[Path | None, Parameter(help="YAML file of parameters, by group; flags override it.")],
)

_OF_A_RUN = {
    "no_ui": "Serve no live UI during the run (a server at PREFECT_API_URL has its own).",
    "quiet": "Show only warnings, errors and the end of the run.",
    "verbose": "Show all that Prefect and the libraries log, with tracebacks.",
}
SWITCHES = {
    "train": {
        "plan": "Show what the run would take (steps, memory, time), with warnings, and train nothing.",
        "json": "With --plan: print one JSON object instead of a table.",
        **_OF_A_RUN,
    },
    "prepare": _OF_A_RUN,
    "release": {"json": "Print one JSON object instead of a table."},
}
"""File in flows/ → switches of its command, each with its description."""


@dataclass(frozen=True)
class Arguments:
    """A parsed command line."""

    parameters: dict[str, Any]
    """What the function is called with."""
    switches: frozenset[str]
    """The switches that are on."""


def parse_arguments(function: Callable[..., Any], words: list[str], *, script: str, verb: str = "") -> Arguments:
    """Parameters and switches; exits with 0 after `--help`, raises InputError for words that it cannot parse.

    `script` is the name of the file in flows/, `verb` the word after it where the file has several commands.
    """
    signature = inspect.signature(function)
    known = SWITCHES.get(script, {})

    def parse(*args: Any, **kwargs: Any) -> Arguments:
        kwargs.pop("config", None)
        switches = frozenset(name for name in known if kwargs.pop(name, False))
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return Arguments(dict(bound.arguments), switches)

    parse.__doc__ = function.__doc__
    parse.__signature__ = _in_panels(signature, known)  # type: ignore[attr-defined]
    app = App(
        name=f"python flows/{script}.py {verb}".strip(),
        default_command=parse,
        version_flags=[],
        config=_read_config,
        result_action="return_value",
        help_format="plaintext",
        default_parameter=Parameter(negative_iterable=""),
    )
    try:
        arguments: Arguments | None = app(words, exit_on_error=False, print_error=False)
    except CycloptsError as error:
        raise InputError(_sentence(error, signature)) from error
    if arguments is None:  # --help
        raise SystemExit(0)
    return arguments


def _in_panels(signature: inspect.Signature, switches: dict[str, str]) -> inspect.Signature:
    """The signature with `--config` and the switches, and with one panel of `--help` per group."""
    panels = [
        parameter.replace(annotation=Annotated[parameter.annotation, Parameter(group=Group(name, sort_key=number))])
        if _is_group(parameter.annotation)
        else parameter
        for number, (name, parameter) in enumerate(signature.parameters.items())
    ]
    added = [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=False,
            annotation=Annotated[bool, Parameter(help=description, negative="")],
        )
        for name, description in switches.items()
    ]
    return signature.replace(parameters=[*panels, _CONFIG, *added], return_annotation=Arguments)


def _is_group(annotation: Any) -> bool:
    """Whether a parameter is a group of parameters."""
    return isinstance(annotation, type) and issubclass(annotation, pydantic.BaseModel)


def _read_config(app: App, commands: tuple[str, ...], arguments: ArgumentCollection) -> None:
    """Add the values of the file that `--config` names; those of flags override them."""
    for path in [token.value for argument in arguments if argument.name == "--config" for token in argument.tokens]:
        Dict(_read_yaml(Path(path)), source=path)(app, commands, arguments)


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        read = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"--config {path}: cannot be read ({error}); name a YAML file of parameters.") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        position = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
        raise InputError(f"{path}{position}: not valid YAML ({error.problem}); correct it.") from error
    except yaml.YAMLError as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path}: not valid YAML ({reason}); correct it.") from error
    if not isinstance(read, dict) or not all(isinstance(group, dict) for group in read.values()):
        raise InputError(f"--config {path}: wanted groups of parameters, as `training: {{batch_size: 4}}`.")
    return read


def _sentence(error: CycloptsError, signature: inspect.Signature) -> str:
    """One sentence that names the flag, with the nearest name for a misspelt one."""
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
