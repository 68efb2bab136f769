r"""Spintax: `{a|b} c` stands for the variants "a c" and "b c".

What comes in: templates, typed or from files. What it leaves: `Template` objects that count, index, draw and
enumerate their variants exactly. Only `{`, `|`, `}` and `\` are special; all other text is kept verbatim.
`python -m tasks.spintax FILE_OR_TEXT` shows what a template holds.
"""

from tasks.spintax.errors import SpintaxError, SpintaxWarning
from tasks.spintax.holdout import Pair, choose_pairs
from tasks.spintax.reading import parse_templates, read_templates
from tasks.spintax.template import Template
from tasks.spintax.union import count_distinct, join_templates

__all__ = [
    "Pair",
    "SpintaxError",
    "SpintaxWarning",
    "Template",
    "choose_pairs",
    "count_distinct",
    "join_templates",
    "parse_templates",
    "read_templates",
]
