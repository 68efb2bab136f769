"""Joins several templates into one template that has the derivations of the first, then of the second, and so on."""

from array import array
from collections.abc import Sequence

from tasks.errors import InputError
from tasks.spintax.errors import SpintaxError
from tasks.spintax.nodes import GROUP, SEQUENCE, Nodes
from tasks.spintax.source import Source
from tasks.spintax.template import Template
from tasks.spintax.tree import Tree


def join_templates(templates: Sequence[Template]) -> Template:
    """Return one template for all of them: every derivation is as likely in a draw as any other.

    Its text is empty, so it has no labels and no warnings that mean anything. InputError where there is no template,
    SpintaxError `too-many` past the limits of one template.
    """
    if not templates:
        raise InputError("there is no template to take variants from; give at least one")
    if len(templates) == 1:
        return templates[0]
    source = Source("", "all templates together")
    return Template(source, Tree(_join([template.tree for template in templates]), source))


def count_distinct(templates: Sequence[Template]) -> int | None:
    """Return the exact number of distinct variants of all templates together.

    None past the limits of Template.distinct, taken for all of them together. InputError where there is no template.
    """
    try:
        return join_templates(templates).distinct
    except SpintaxError:  # past the limits of one template
        return None


def _join(trees: Sequence[Tree]) -> Nodes:
    """Return the nodes of all trees as the options of one group; their offsets in the source are lost."""
    nodes = Nodes(0)
    nodes.add(SEQUENCE, 0, 0)
    nodes.add(GROUP, 0, 0)
    size = 2 + sum(tree.end for tree in trees)
    nodes.stops.extend((size, size))
    for tree in trees:
        shift = len(nodes.kinds)
        nodes.kinds += tree.kinds
        nodes.parents.append(1)
        nodes.parents.extend(array("I", [parent + shift for parent in tree.parents[1:]]))
        nodes.stops.extend(array("I", [stop + shift for stop in tree.stops]))
        nodes.texts += tree.texts
    nodes.begins = nodes.ends = array("I", bytes(4 * size))
    return nodes
