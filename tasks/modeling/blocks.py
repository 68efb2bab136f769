"""Token blocks as the training reads them: arrays that become batches of tensors.

Labels are the ids where they count and -100 where they do not: at padding, and at the first token of a block, which
nothing predicts. So the labels that count are exactly the tokens that a loss averages over.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

IGNORED_LABEL = -100


@dataclass(frozen=True)
class Blocks(Dataset[int]):
    """Blocks of equal length; as a dataset it yields their indices, which `batch` turns into tensors."""

    ids: NDArray[np.int32]
    """[N, T], padded on the right."""
    lengths: NDArray[np.int32]
    """[N], the number of real tokens per block."""

    def __len__(self) -> int:
        """The number of blocks."""
        return len(self.lengths)

    def __getitem__(self, index: int) -> int:
        """The index itself: `batch` reads the whole batch at once."""
        if not 0 <= index < len(self):
            raise IndexError(index)
        return index

    def batch(self, indices: Sequence[int]) -> dict[str, torch.Tensor]:
        """`input_ids` and `labels` [B, T]; also `attention_mask` [B, T] if a block is padded."""
        ids = torch.from_numpy(self.ids[list(indices)]).long()  # [B, T]
        lengths = torch.from_numpy(self.lengths[list(indices)])  # [B]
        real = torch.arange(ids.size(1)) < lengths[:, None]  # [B, T]
        labels = ids.masked_fill(~real, IGNORED_LABEL)
        labels[:, 0] = IGNORED_LABEL
        batch = {"input_ids": ids, "labels": labels}
        return batch if bool(real.all()) else {**batch, "attention_mask": real.long()}

    def count_ends(self, end_of_text: int) -> int:
        """How many documents end in these blocks: the number of real end-of-text tokens."""
        real = np.arange(self.ids.shape[1]) < self.lengths[:, None]
        return int(np.count_nonzero((self.ids == end_of_text) & real))
