"""One pass over dense rows for their moments, tuned for NumPy.

At a single epoch it would otherwise take longer than training. Slices of rows stay
in the cache through all that is done to them. NumPy works along rows in memory, and begins
each anew: short ones are turned into columns, and what is subtracted from long ones is
repeated for each row of a slice. Sums go through the BLAS. This module knows rows and numbers,
nothing of models.
"""

from __future__ import annotations

from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sksoftmax.backend import Array, Moments, row_slices

CHUNK_SLICES = 32
"""Slices whose deviations are taken from one shift, near the means of the first of them."""

SHORT_ROWS = 64
"""Most features of rows that are turned into columns."""

SAFE_RANGES = 1e-12, 1e12
"""Between these, float32 has room for the squares of a feature's deviations."""

LEAST_SHARE = 1 / 64
"""Least share of the sum of squares that may be left when the shift's part is taken off it."""


def feature_moments(
    X: Array, weights: NDArray[Any] | None, rows: NDArray[np.int64] | None
) -> Moments:
    """Return the weighted moments of the columns of dense X.

    Where training is in float32, so are deviations, and sums within a slice; slices are added
    up in float64. What float32 could not hold, or would lose digits of, is done in float64.

    Parameters
    ----------
    X : ndarray of shape (n_rows, n_features)
        Any real dtype.
    weights : ndarray of shape (n_rows,), or None
        Row weights; None for equal ones.
    rows : ndarray of int64, or None
        The rows of positive weight; None for all.

    Returns
    -------
    Moments
        As ``sksoftmax.backend.statistics.feature_moments`` gives them, to a millionth of the
        deviations for float32 and smaller dtypes.
    """
    slices = row_slices(X, rows)
    is_small = np.result_type(X.dtype, np.float32) == np.float32
    largest = 1.0 if weights is None else float(weights.max())
    moments: Moments | None = None
    while chunk := list(islice(slices, CHUNK_SLICES)):
        of_chunk = None
        if is_small:
            with np.errstate(over="ignore", invalid="ignore"):
                of_chunk = _chunk_moments(X, weights, largest, chunk, np.float32)
        if of_chunk is None or not _keeps_digits(*of_chunk):
            of_chunk = _chunk_moments(X, weights, largest, chunk, np.float64)
        moments = of_chunk[0] if moments is None else moments.merge(of_chunk[0])
    assert moments is not None
    return moments


def _chunk_moments(
    X: Array, weights: NDArray[Any] | None, largest: float, chunk: list[Any], dtype: Any
) -> tuple[Moments, NDArray[np.float64]]:
    """Moments of some slices, and the sums of squares before the shift's part is taken off."""
    n_features = X.shape[1]
    across = 1 if n_features <= SHORT_ROWS else 0  # the axis of the rows
    first = _laid_out(X[chunk[0]], across)
    low, high = first.min(axis=across), first.max(axis=across)
    shift = _round_shift(first.mean(axis=across, dtype=np.float64), low, high).astype(dtype)
    shifts = np.expand_dims(shift, across)
    if across == 0 and len(chunk) > 1:
        shifts = np.tile(shift, (len(first), 1))
    room, ones = np.empty(first.size, dtype), np.ones(first.shape[across], dtype)
    weight, total, squares = 0.0, np.zeros(n_features), np.zeros(n_features)
    for number, part in enumerate(chunk):
        x = first
        if number > 0:
            x = _laid_out(X[part], across)
            np.minimum(low, x.min(axis=across), out=low)
            np.maximum(high, x.max(axis=across), out=high)
        n_rows = x.shape[across]
        subtracted = shifts if across == 1 else shifts[:n_rows]
        d = _difference(x, subtracted, room[: x.size].reshape(x.shape))
        w = ones[:n_rows]
        if weights is not None:
            w = (weights[part] / largest).astype(dtype)  # or float32 may have no room for it
        weight += n_rows if weights is None else float(w.sum(dtype=np.float64))
        total += d @ w if across == 1 else w @ d
        np.multiply(d, d, out=d)
        squares += d @ w if across == 1 else w @ d
    central = np.maximum(squares - total * total / weight, 0)
    mean = shift.astype(np.float64) + total / weight
    low, high = low.astype(np.float64), high.astype(np.float64)
    return Moments(weight * largest, mean, central * largest, low, high), squares * largest


def _laid_out(rows: Array, across: int) -> Array:
    """Rows with their axis where it is wanted, each line of them in one piece of memory."""
    return np.ascontiguousarray(rows.T) if across == 1 else rows


def _round_shift(mean: NDArray[np.float64], low: Array, high: Array) -> NDArray[np.float64]:
    """About the means, but so many even steps from the least values, which are powers of 2.

    Deviations of small integers are then exact, and those of a constant column zero.
    """
    start = low.astype(np.float64)
    width = high - start
    step = np.exp2(np.floor(np.log2(np.where(width > 0, width, 1))) - 3)
    n_steps = np.round((mean - start) / step)
    shift: NDArray[np.float64] = start + step * n_steps
    return shift


def _keeps_digits(moments: Moments, squares: NDArray[np.float64]) -> bool:
    """Whether float32 had room for the squares, and the shift was near enough to the means."""
    varies = moments.minimum < moments.maximum
    width = (moments.maximum - moments.minimum)[varies]
    share = moments.squares[varies] >= LEAST_SHARE * squares[varies]
    least, most = SAFE_RANGES
    return bool(((width > least) & (width < most) & share).all())


def _difference(x: Array, subtracted: NDArray[Any], out: NDArray[Any]) -> NDArray[Any]:
    """Write ``x - subtracted`` in the dtype of `out`."""
    if x.dtype == out.dtype:
        np.subtract(x, subtracted, out=out)
    else:
        out[:] = x  # converting within the subtraction would go through a small buffer
        out -= subtracted
    return out
