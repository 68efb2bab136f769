r"""Spintax: `{a|b} c` stands for the variants "a c" and "b c".

What comes in: templates, typed or from files. What it leaves: `Template` objects that count, index, draw and
enumerate their variants exactly. Only `{`, `|`, `}` and `\` are special; nothing else in a text is touched.
`python -m tasks.spintax FILE_OR_TEXT` shows what a template holds.
"""

from tasks.spintax.collection import count_distinct_of, draw_from
from tasks.spintax.errors import SpintaxError, SpintaxWarning
from tasks.spintax.holdout import Pair, choose_pairs
from tasks.spintax.reading import parse_templates, read_templates
from tasks.spintax.template import Template

__all__ = [
    "Pair",
    "SpintaxError",
    "SpintaxWarning",
    "Template",
    "choose_pairs",
    "count_distinct_of",
    "draw_from",
    "parse_templates",
    "read_templates",
]
