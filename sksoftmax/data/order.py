"""In which order the rows of an epoch are read.

An order is row numbers; batches are cut from it elsewhere. This module must not know what is
done with the rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sksoftmax.data.stored import StoredRows

GROUP_BYTES = 2**27
"""Bytes of the blocks whose rows are shuffled together: what a buffer holds."""


def epoch_order(
    X: Any,
    rows: NDArray[np.int64] | None,
    n_rows: int,
    batch_size: int,
    rng: np.random.Generator | None,
) -> Iterator[NDArray[np.int64]]:
    """Yield the rows that count in the order of an epoch.

    Parameters
    ----------
    X : array or StoredRows of shape (n_all, n_features)
        What is read.
    rows : ndarray of int64, or None
        The rows that count, in ascending order; None for all.
    n_rows : int
        Their number.
    batch_size : int
        Rows of a batch.
    rng : numpy.random.Generator or None
        Draws the order; None for the order in which the rows lie.

    Yields
    ------
    ndarray of int64
        All rows where they lie in memory; else whole batches, of few blocks of rows.
    """
    if isinstance(X, StoredRows):
        yield from block_order(X, rows, batch_size, rng)
    elif rng is None:
        yield np.arange(n_rows) if rows is None else rows
    else:
        order = rng.permutation(n_rows)
        yield order if rows is None else rows[order]


def block_order(
    X: StoredRows,
    rows: NDArray[np.int64] | None,
    batch_size: int,
    rng: np.random.Generator | None,
) -> Iterator[NDArray[np.int64]]:
    """Yield the order of an epoch, part by part, each of which needs few blocks in memory.

    The blocks are taken in random order, as many at a time as a group holds, and the rows of a
    group are shuffled. Those that do not fill a batch come first in the next part: all parts
    together are one permutation of the rows, cut between batches.

    Parameters
    ----------
    X : StoredRows of shape (n_rows, n_features)
        What is read.
    rows : ndarray of int64, or None
        The rows that count, in ascending order; None for all.
    batch_size : int
        Rows of a batch.
    rng : numpy.random.Generator or None
        Draws the order; None for the order in which the rows lie.

    Yields
    ------
    ndarray of int64
        Row numbers; whole batches in each part but the last.

    Examples
    --------
    >>> import numpy as np
    >>> from sksoftmax.data.order import block_order
    >>> from sksoftmax.data.stored import StoredRows
    >>> X = StoredRows(np.zeros((10, 3)))
    >>> [part.tolist() for part in block_order(X, None, 4, None)]
    [[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]]
    """
    blocks = np.arange(X.n_blocks) if rng is None else rng.permutation(X.n_blocks)
    block_bytes = X.block_rows * X.shape[1] * X.dtype.itemsize
    # Blocks, not rows, are shuffled over the whole file: a block is read in one piece.
    size = max(1, GROUP_BYTES // block_bytes)
    left = np.zeros(0, np.int64)
    for first in range(0, len(blocks), size):
        group = np.concatenate(
            [_rows_between(rows, *X.bounds(b)) for b in blocks[first:][:size]]
        )
        if rng is not None:
            rng.shuffle(group)
        group = np.concatenate([left, group])
        # Rows that do not fill a batch wait for those of the next group.
        n_ready = len(group)
        if first + size < len(blocks):
            n_ready -= n_ready % batch_size
        if n_ready > 0:
            yield group[:n_ready]
        left = group[n_ready:]


def _rows_between(rows: NDArray[np.int64] | None, start: int, stop: int) -> NDArray[np.int64]:
    """The rows that count from start to before stop."""
    if rows is None:
        return np.arange(start, stop)
    # The rows ascend, so two bisections find those of a block.
    return rows[slice(*np.searchsorted(rows, [start, stop]))]
