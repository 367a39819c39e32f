"""One compiled pass over dense rows for their moments, and one for the longest of them.

At a single epoch these passes would otherwise take longer than training. They know rows and
numbers, and nothing of models.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sksoftmax.problem import Array
from sksoftmax.standardize import Moments
from sksoftmax.steps import Coordinates
from sksoftmax_numba.compilation import announced, compiled

BLOCK_ROWS = 1024
"""Rows that are summed before their sum joins the others: it keeps rounding small."""


@compiled
def _add_block(
    X: Any, rows: Any, weights: Any, shift: Any, total: Any, squares: Any, low: Any, high: Any
) -> float:
    """Add weighted deviations from `shift`, and widen the ranges; return the weight."""
    weight = 0.0
    for row in rows:
        w = weights[row] if len(weights) > 0 else 1.0
        weight += w
        for j in range(X.shape[1]):
            x = np.float64(X[row, j])
            deviation = x - shift[j]
            total[j] += w * deviation
            squares[j] += w * deviation * deviation
            low[j] = min(low[j], x)
            high[j] = max(high[j], x)
    return weight


@compiled
def _longest(
    X: Any, rows: Any, weights: Any, centre: Any, inverse_scale: Any, ones: float
) -> float:
    """The largest weighted squared length of a row, with a column of `ones`."""
    longest = 0.0
    for row in rows:
        length = inverse_scale.dtype.type(ones)
        for j in range(X.shape[1]):
            z = (inverse_scale.dtype.type(X[row, j]) - centre[j]) * inverse_scale[j]
            length += z * z
        weighted = length * (weights[row] if len(weights) > 0 else 1.0)
        longest = longest if weighted <= longest else weighted  # a NaN stays
    return longest


def feature_moments(
    X: Array, weights: NDArray[Any] | None, rows: NDArray[np.int64] | None
) -> Moments:
    """Return the weighted moments of the columns of dense X.

    Parameters
    ----------
    X : ndarray of shape (n_rows, n_features)
        Any real dtype that Numba has.
    weights : ndarray of shape (n_rows,), or None
        Row weights; None for equal ones.
    rows : ndarray of int64, or None
        The rows of positive weight; None for all.

    Returns
    -------
    Moments
        As ``sksoftmax.standardize.feature_moments`` gives them.
    """
    rows = np.arange(len(X)) if rows is None else rows
    of_rows = np.zeros(0) if weights is None else weights.astype(np.float64, copy=False)
    n = X.shape[1]
    shift = X[rows[0]].astype(np.float64)
    low, high = shift.copy(), shift.copy()
    total, squares, weight = np.zeros(n), np.zeros(n), 0.0
    with announced("moments", X.dtype):
        for start in range(0, len(rows), BLOCK_ROWS):
            sums = np.zeros((2, n))
            block = rows[start : start + BLOCK_ROWS]
            weight += _add_block(X, block, of_rows, shift, sums[0], sums[1], low, high)
            total += sums[0]
            squares += sums[1]
    squares -= total * total / weight
    return Moments(weight, shift + total / weight, np.maximum(squares, 0), low, high)


def longest_row(
    X: Array,
    weights: NDArray[Any] | None,
    rows: NDArray[np.int64] | None,
    coordinates: Coordinates,
    dtype: np.dtype[Any],
) -> float:
    """Return the largest weighted squared length of a row of dense X.

    Parameters
    ----------
    X, weights, rows
        As in `feature_moments`.
    coordinates : Coordinates
        The coordinates of the step.
    dtype : numpy dtype
        The dtype of the arithmetic.

    Returns
    -------
    float
        The column of ones included.
    """
    rows = np.arange(len(X)) if rows is None else rows
    centre = np.zeros(X.shape[1]) if coordinates.centre is None else coordinates.centre
    of_rows = np.zeros(0) if weights is None else weights.astype(np.float64, copy=False)
    with announced("longest row", X.dtype, dtype):
        return _longest(
            X,
            rows,
            of_rows,
            centre.astype(dtype),
            (1 / coordinates.scale).astype(dtype),
            float(coordinates.fit_intercept),
        )
