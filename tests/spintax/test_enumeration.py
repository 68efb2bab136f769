"""Enumeration writes blocks of any shape line by line."""

import io

import pytest

from tasks.spintax import Template


@pytest.mark.parametrize(
    "text",
    [
        "no {} " + "{0|1|2|3|4|5|6|7|8|9}" * 5 + " of {a|b}",
        "{|}{|}{0|1|2|3|4|5|6|7|8|9}{0|1|2|3|4|5|6|7|8|9}" + "{a|b}" * 8,
        "{|}{|}{|}" + "{0|1|2|3|4|5|6|7|8|9}" * 3,
        "{a|bb|c}{0|1|2|3|4|5|6|7|8|9}" + "{x|y}" * 12 + " and the same end",
        "{aaaaaaaaaaaa|bbbbbbbbbbbb|ccccccccccc}{0|1}" + "{x|y}" * 12,
        "{\u00e9|e}{0|1|2|3}" + "{x|yy|z}" * 9,
        "{0|1|2|3}{0|1|2|3}" + "{w|x|y|z}" * 5 + "{|longer}",
    ],
)
def test_each_variant_is_written_once_in_order(text: str) -> None:
    template, file = Template.parse(text), io.BytesIO()
    template.enumerate_to(file)
    assert file.getvalue() == "".join(f"{variant}\n" for variant in template).encode()
