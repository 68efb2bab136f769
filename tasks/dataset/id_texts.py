"""Token ids as JSON, quickly: an id is looked up as text and not made text anew.

What comes in: blocks of ids. What it leaves: the same text as json.dumps gives, several times sooner.
"""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_MOST_TEXTS = 2**18
"""Ids from here on are written the slow way: of a larger vocabulary a table would need too much memory."""


class IdTexts:
    """The texts of the ids from 0 on; it grows with the largest id that it meets."""

    def __init__(self) -> None:
        self._texts: NDArray[np.bytes_] | None = None

    def list_of(self, block: "Sequence[int] | NDArray[np.int32]") -> str:
        """Return the block as a JSON list."""
        import numpy as np

        ids = np.asarray(block)
        if not ids.size or ids.min() < 0 or ids.max() >= _MOST_TEXTS:
            return json.dumps(ids.tolist())
        padded: bytes = self._up_to(int(ids.max()))[ids].tobytes()
        text = padded.translate(None, b"\0").decode("ascii")
        return f"[{text.removesuffix(', ')}]"

    def _up_to(self, largest: int) -> "NDArray[np.bytes_]":
        import numpy as np

        if self._texts is None or len(self._texts) <= largest:
            self._texts = np.array([b"%d, " % token for token in range(1 << largest.bit_length())])
        return self._texts
