"""What is written out: block by block, and the same whatever it is written to."""

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
def test_a_file_and_whatever_else_is_written_to_get_each_variant_once(text: str) -> None:
    class Keeper:
        def __init__(self) -> None:
            self.kept: list[bytes] = []

        def write(self, data: bytes) -> None:
            self.kept.append(data)

    template, file, keeper = Template.parse(text), io.BytesIO(), Keeper()
    template.enumerate_to(file)
    template.enumerate_to(keeper)  # type: ignore[arg-type]
    wanted = "".join(f"{variant}\n" for variant in template).encode()
    assert file.getvalue() == wanted
    assert b"".join(keeper.kept) == wanted
