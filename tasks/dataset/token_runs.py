"""The token ids of a corpus while it is being packed: one run on disk, 4 bytes a token, and the lengths as counts.

What comes in: the ids of documents, batch by batch. What it leaves: how long they are, which the choice of a block
size needs first, and then their blocks. So memory does not grow with the corpus.
"""

import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from tasks.dataset.packing import cut, end_documents

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_BYTES_AT_ONCE = 2**20


class TokenRun:
    """Documents one behind the other, each followed by the end-of-text id.

    They lie in a file of `folder` that has no name: it is gone when the run is closed, or its process is killed.
    """

    def __init__(self, folder: Path, *, eos_token_id: int) -> None:
        self.documents: Counter[int] = Counter()
        """Length in tokens (end-of-text included) → documents that have it."""
        self._eos_token_id = eos_token_id
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 (closed with the run)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._file.close()

    @property
    def tokens(self) -> int:
        """Tokens of all documents."""
        return sum(length * some for length, some in self.documents.items())

    def add(self, ids: "NDArray[np.int32]", lengths: Sequence[int]) -> None:
        """Append documents; `lengths` says how many of the ids each one has."""
        self._file.write(end_documents(ids, lengths, eos_token_id=self._eos_token_id).tobytes())
        self.documents.update(length + 1 for length in lengths)

    def blocks(self, block_size: int) -> "Iterator[NDArray[np.int32]]":
        """Yield all blocks, as `pack` cuts them; nothing may be added meanwhile."""
        self._file.flush()
        return cut(self._parts(), block_size=block_size)

    def _parts(self) -> "Iterator[NDArray[np.int32]]":
        import numpy as np

        self._file.seek(0)
        while part := self._file.read(_BYTES_AT_ONCE):
            yield np.frombuffer(part, dtype=np.int32)
