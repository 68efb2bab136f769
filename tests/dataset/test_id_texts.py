"""Claims about ids as JSON: it is what json.dumps writes."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.dataset.id_texts import IdTexts

ID = st.one_of(st.integers(0, 300), st.integers(0, 5000), st.integers(-(2**31), 2**31 - 1))


@settings(deadline=None)
@given(st.lists(st.lists(ID, max_size=12), max_size=5))
def test_blocks_are_written_as_json_does(blocks: list[list[int]]) -> None:
    texts = IdTexts()
    for block in blocks:
        assert texts.list_of(block) == json.dumps(block)
        assert texts.list_of(np.array(block, dtype=np.int32)) == json.dumps(block)


@pytest.mark.parametrize("power", [0, 1, 9, 10, 18, 31])
def test_ids_around_a_power_of_two_are_written(power: int) -> None:
    for number in (2**power - 1, 2**power, 2**power + 1):
        assert IdTexts().list_of([number]) == f"[{number}]"
