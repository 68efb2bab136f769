"""Several trees as one: a tree of one group, with one option for each.

What comes in: trees. What it leaves: a tree whose derivations are those of the first, then those of the second, and so
on, so that what is worked out for one tree (how many distinct variants there are) holds for all together.
"""

from array import array
from collections.abc import Sequence

from tasks.spintax.nodes import GROUP, SEQUENCE, Nodes
from tasks.spintax.source import Source
from tasks.spintax.tree import Tree


def join(trees: Sequence[Tree]) -> Tree:
    """Return the tree of all derivations; SpintaxError `too-many` past the limits of one template."""
    if len(trees) == 1:
        return trees[0]
    nodes = Nodes(0)
    nodes.add(SEQUENCE, 0, 0)
    nodes.add(GROUP, 0, 0)
    size = 2 + sum(tree.end for tree in trees)
    nodes.stops.extend((size, size))
    for tree in trees:
        _append(nodes, tree)
    nodes.begins = nodes.ends = array("I", bytes(4 * size))
    return Tree(nodes, Source("", "all templates together"))


def _append(nodes: Nodes, tree: Tree) -> None:
    """Append all nodes of `tree`, its whole as an option; their places in the source are lost."""
    shift = len(nodes.kinds)
    nodes.kinds += tree.kinds
    nodes.parents.append(1)
    nodes.parents.extend(array("I", [parent + shift for parent in tree.parents[1:]]))
    nodes.stops.extend(array("I", [stop + shift for stop in tree.stops]))
    nodes.texts += tree.texts
