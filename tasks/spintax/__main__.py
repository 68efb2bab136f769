"""`python -m tasks.spintax FILE_OR_TEXT`: count, check, draw and enumerate the variants of a template.

Exit code 0, or 1 where --check finds no variant; 2 and a sentence on standard error where the input cannot be used; 130
after Ctrl-C.
"""

import argparse
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import BinaryIO

from tasks.errors import InputError
from tasks.spintax.reading import parse_templates, read_templates
from tasks.spintax.template import Template
from tasks.spintax.union import join_templates
from tasks.spintax.watching import watch

SHOWN_WARNINGS = 20


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    options = make_parser().parse_args(arguments)
    try:
        _check_options(options)
        if options.watch:
            watch(options.template, lambda: _show(options))
        code = _run(options, _load(options.template))
        sys.stdout.flush()
    except BrokenPipeError:  # the reader, such as head, ended
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the buffer may end in half a line
        return 130
    except (InputError, IndexError) as error:
        sys.stdout.flush()
        _write(sys.stderr.buffer, f"{error}\n")
        return 2
    return code


def _check_options(options: argparse.Namespace) -> None:
    if options.number is not None and options.number < 1:
        raise InputError(f"-n {options.number}: cannot draw {options.number:,} variants; ask for 1 or more")
    if options.watch and (options.all or options.index is not None or options.check is not None):
        raise InputError("--watch shows counts, warnings and draws; give it alone or with -n")


def _show(options: argparse.Namespace) -> None:
    """Print counts and warnings, and draws with -n, or the error of the template."""
    try:
        templates = read_templates(options.template)
        _write_lines(line for template in templates for line in _describe(template))
        if options.number is not None:
            _run(options, templates)
    except InputError as error:
        _write(sys.stdout.buffer, f"{error}\n")
    sys.stdout.flush()


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command's arguments."""
    parser = argparse.ArgumentParser(
        prog="python -m tasks.spintax",
        description="Count, check, draw and enumerate the variants of a spintax template: {a|b} c is 'a c' or 'b c'.",
    )
    parser.add_argument(
        "template",
        metavar="FILE_OR_TEXT",
        help="a template or Markdown file, - for standard input, or the template itself",
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument("-n", "--number", type=int, metavar="N", help="draw N distinct variants")
    what.add_argument("--all", action="store_true", help="print every variant, in order")
    what.add_argument("--index", type=int, metavar="I", help="print derivation I, from 0; negative: from the end")
    what.add_argument("--check", metavar="SENTENCE", help="exit with 1 unless the sentence is a variant")
    parser.add_argument("--watch", action="store_true", help="print counts and draws again each time the file is saved")
    parser.add_argument("--seed", type=int, default=0, help="seed of the draw (default: 0)")
    return parser


def _load(given: str) -> list[Template]:
    if given == "-":
        return parse_templates(_decode_stdin(), "standard input")
    if not _exists(given):
        if set(given) & set("{|}"):
            return parse_templates(given)
        shown = given if len(given) <= 80 else f"{given[:80]}…"
        raise InputError(f"'{shown}': there is no such file, and a template has '{{' in it; give a file or a template")
    return read_templates(given)


def _decode_stdin() -> str:
    try:
        return sys.stdin.buffer.read().decode()
    except UnicodeDecodeError as error:
        raise InputError(f"standard input: byte offset {error.start} is not UTF-8; send UTF-8") from error


def _exists(given: str) -> bool:
    try:
        return bool(given) and Path(given).exists()
    except OSError:  # a text too long to be a path
        return False


def _run(options: argparse.Namespace, templates: list[Template]) -> int:
    if options.check is not None:
        return _check(templates, options.check)
    if options.index is not None:
        _write_lines([join_templates(templates)[options.index]])
    elif options.all:
        for template in templates:
            template.enumerate_to(sys.stdout.buffer)
    elif options.number is not None:
        for template in templates:
            template.check_single_line()
        _write_lines(join_templates(templates).draw(options.number, options.seed))
    else:
        _write_lines(line for template in templates for line in _describe(template))
    return 0


def _check(templates: list[Template], sentence: str) -> int:
    r"""Print which template has the sentence as a variant; "\r\n" in it is "\n", as in template files."""
    sentence = sentence.replace("\r\n", "\n")
    for template in templates:
        index = template.index_of(sentence)
        if index is not None:
            _write_lines([f"{template.name}:{template.line}: yes, derivation {index:,}"])
            return 0
    _write_lines(["no, this sentence is not a variant of any template"])
    return 1


def _describe(template: Template) -> list[str]:
    distinct = "an unknown number of" if template.distinct is None else f"{template.distinct:,}"
    lines = [f"{template.name}:{template.line}: {template.count:,} derivations, {distinct} distinct variants"]
    if template.slots:
        lines[0] += f"; options per slot: {' '.join(str(len(slot)) for slot in template.slots)}"
    found = template.warnings
    lines += [f"{template.name}:{warning}  [{warning.code}]" for warning in found[:SHOWN_WARNINGS]]
    if len(found) > SHOWN_WARNINGS:
        lines.append(f"and {len(found) - SHOWN_WARNINGS:,} more warnings")
    return lines


def _write_lines(lines: Iterable[str]) -> None:
    for line in lines:
        _write(sys.stdout.buffer, f"{line}\n")


def _write(file: BinaryIO, text: str) -> None:
    file.write(text.encode(errors="backslashreplace"))


if __name__ == "__main__":
    sys.exit(main())
