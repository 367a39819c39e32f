"""Which rows of a shard are in which batch: arithmetic on counts, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def share_ends(rows_of_rank: Sequence[int], rank: int, batch_size: int) -> NDArray[np.int64]:
    """Return where in its shard's order a rank's share of each batch ends.

    Batches are of the rows of all ranks. Each but the last has `batch_size` rows, each row is
    in one batch, and every rank's rows are spread evenly over the batches: of the first t
    rows, the ranks of the first half have their part rounded down and the others the rest,
    and so on within each half. Rounding each rank's part by itself would not add up.

    Parameters
    ----------
    rows_of_rank : sequence of int
        Rows of each rank; some may have none.
    rank : int
        Whose share it is.
    batch_size : int
        Rows in a batch of all ranks together.

    Returns
    -------
    ndarray of shape (n_batches,), int64
        Ascending; batch i takes the rows from one end to the next, which may be none.

    Examples
    --------
    >>> from sksoftmax.distributed.shares import share_ends
    >>> share_ends([6, 3], 0, batch_size=3).tolist(), share_ends([6, 3], 1, 3).tolist()
    ([2, 4, 6], [1, 2, 3])
    """
    n_rows = sum(rows_of_rank)
    # Products of two counts: beyond 2**63 in Python's own integers, slow and exact.
    dtype = np.int64 if n_rows < 2**31 else object
    ends = np.arange(batch_size, n_rows + batch_size, batch_size).astype(dtype)
    ends[-1] = n_rows
    first, after = 0, len(rows_of_rank)
    while after - first > 1:
        middle = (first + after) // 2
        left, both = sum(rows_of_rank[first:middle]), sum(rows_of_rank[first:after])
        ends_of_left = ends * left // max(1, both)
        if rank < middle:
            ends, after = ends_of_left, middle
        else:
            ends, first = ends - ends_of_left, middle
    return ends.astype(np.int64)
