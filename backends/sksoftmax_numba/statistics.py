"""Compiled passes over rows for their moments: one over dense rows, two over CSR rows.

At a single epoch they would otherwise take longer than training. They know rows and numbers,
and nothing of models.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sksoftmax.backend import Array, Moments
from sksoftmax_numba.announcements import announced
from sksoftmax_numba.canonical import elements_of, rows_of, to_read, unsigned
from sksoftmax_numba.compilation import compiled, inlined
from sksoftmax_numba.half import number_of
from sksoftmax_numba.intrinsics import PREFETCHES, prefetch

BLOCK_ROWS = 1024
"""Rows that are summed before their sum joins the others: it keeps rounding small."""

LINES = 16
"""Cache lines of each row that are asked for at once: memory takes few more requests."""

SECONDS = 2
"""About what compiling takes."""


@inlined
def _add_rows(
    x0: Any, x1: Any, x2: Any, x3: Any, w0: float, w1: float, w2: float, w3: float,
    start: int, stop: int, shift: Any, total: Any, squares: Any, low: Any, high: Any,
    lower: Any, higher: Any,
) -> None:  # fmt: skip
    """Add the deviations of some columns of four rows from `shift`, and widen the ranges.

    They are widened from `low` and `high` to `lower` and `higher`, since in place LLVM stores
    under a mask, which an AMD Zen 3 is slow at.
    """
    # Unsigned: an index that might count from the end would keep the loop from vectors.
    for j in range(np.uint64(start), np.uint64(stop)):
        v0, v1, s = number_of(x0[j]), number_of(x1[j]), shift[j]
        v2, v3 = number_of(x2[j]), number_of(x3[j])
        lower[j] = min(low[j], min(min(v0, v1), min(v2, v3)))
        higher[j] = max(high[j], max(max(v0, v1), max(v2, v3)))
        d0, d1 = np.float64(v0) - s, np.float64(v1) - s
        d2, d3 = np.float64(v2) - s, np.float64(v3) - s
        e0, e1, e2, e3 = w0 * d0, w1 * d1, w2 * d2, w3 * d3
        total[j] += (e0 + e1) + (e2 + e3)
        squares[j] += (e0 * d0 + e1 * d1) + (e2 * d2 + e3 * d3)


@compiled
def _add_block(
    many: Any, rows: Any, weights: Any, shift: Any, total: Any, squares: Any, lows: Any,
    highs: Any,
) -> float:  # fmt: skip
    """Add weighted deviations from `shift`, and widen the ranges; return the weight.

    Ranges are in the first of two rows of `lows` and of `highs`, between calls.

    Four rows go at a time, so that sums are stored a quarter as often, and while some columns
    of theirs are added, those of the next four are asked for. The last row stands in for
    rows beyond it, without weight.
    """
    X = many[0]
    weight, turn = 0.0, 0
    last = len(rows) - 1
    line = max(1, 64 // X.itemsize)
    width = LINES * line if PREFETCHES else X.shape[1]
    for r in range(0, len(rows), 4):
        i0, i1 = rows[r], rows[min(r + 1, last)]
        i2, i3 = rows[min(r + 2, last)], rows[min(r + 3, last)]
        w0, w1 = 1.0, 1.0 if r + 1 <= last else 0.0
        w2, w3 = 1.0 if r + 2 <= last else 0.0, 1.0 if r + 3 <= last else 0.0
        if len(weights) > 0:
            w0, w1 = w0 * weights[i0], w1 * weights[i1]
            w2, w3 = w2 * weights[i2], w3 * weights[i3]
        weight += w0 + w1 + w2 + w3
        for start in range(0, X.shape[1], width):
            stop = min(start + width, X.shape[1])
            if PREFETCHES:
                for row in rows[r + 4 : r + 8]:
                    for j in range(start, stop, line):
                        prefetch(X, row, j)
            _add_rows(
                X[i0], X[i1], X[i2], X[i3], w0, w1, w2, w3,
                start, stop, shift, total, squares, lows[turn], highs[turn],
                lows[1 - turn], highs[1 - turn],
            )  # fmt: skip
        turn = 1 - turn
    for j in range(X.shape[1]):  # arrays at once would compile the words of an error for 4 s
        lows[0, j], highs[0, j] = lows[turn, j], highs[turn, j]
    return weight


def feature_moments(
    X: Array, weights: NDArray[Any] | None, rows: NDArray[np.int64] | None
) -> Moments:
    """Return the weighted moments of the columns of dense X.

    Parameters
    ----------
    X : ndarray of shape (n_rows, n_features)
        Of a dtype that kernels read.
    weights : ndarray of shape (n_rows,), or None
        Row weights; None for equal ones.
    rows : ndarray of int64, or None
        The rows of positive weight; None for all.

    Returns
    -------
    Moments
        As ``sksoftmax.backend.statistics.feature_moments`` gives them.
    """
    rows = to_read(np.arange(len(X)) if rows is None else rows)
    of_rows = to_read(np.zeros(0) if weights is None else weights.astype(float, copy=False))
    n = X.shape[1]
    of_kernels = rows_of(X)
    three = of_kernels[0][rows[[0, len(rows) // 2, -1]]]
    if X.dtype == np.float16:
        three = three.view(np.float16).astype(np.float32)
    # One of the values themselves, so that constant columns are exact, and no lone outlier.
    shift = np.sort(three.astype(np.float64), axis=0)[1]
    lows, highs = np.stack([three[0]] * 2), np.stack([three[0]] * 2)
    total, squares, weight = np.zeros(n), np.zeros(n), 0.0
    with announced(SECONDS):
        for start in range(0, len(rows), BLOCK_ROWS):
            sums = np.zeros((2, n))
            block = rows[start : start + BLOCK_ROWS]
            weight += _add_block(
                of_kernels, block, of_rows, shift, sums[0], sums[1], lows, highs
            )
            total += sums[0]
            squares += sums[1]
    squares -= total * total / weight
    mean, squares = shift + total / weight, np.maximum(squares, 0)
    low, high = lows[0].astype(np.float64), highs[0].astype(np.float64)
    return Moments(weight, mean, squares, low, high)


SUMS = np.dtype([(name, np.float64) for name in ("stored", "total", "low", "high", "squares")])
"""What the passes over CSR rows add up of a feature, side by side in memory: the weight of the
rows that store it, their weighted sum, the range, and the squared deviations."""


@compiled
def _add_elements(X: Any, rows: Any, weights: Any, sums: Any, n_stored: Any) -> float:
    """Add up the stored elements of rows, and widen the ranges; return the weight."""
    data, indices, indptr = X
    total = 0.0
    for row in rows:
        weight = weights[row] if len(weights) > 0 else 1.0
        total += weight
        for e in range(indptr[row], indptr[row + np.uint64(1)]):
            j, value = indices[0, e], np.float64(data[0, e])
            it = sums[0, j]
            it.stored += weight
            it.total += weight * value
            it.low = min(it.low, value)
            it.high = max(it.high, value)
            n_stored[j] += 1
    return total


@compiled
def _add_squares(X: Any, rows: Any, weights: Any, means: Any, sums: Any) -> None:
    """Add up the squared deviations of the stored elements of rows."""
    data, indices, indptr = X
    for row in rows:
        weight = weights[row] if len(weights) > 0 else 1.0
        for e in range(indptr[row], indptr[row + np.uint64(1)]):
            j = indices[0, e]
            deviation = np.float64(data[0, e]) - means[j]
            sums[0, j].squares += weight * (deviation * deviation)


def sparse_moments(
    X: Array, weights: NDArray[Any] | None, rows: NDArray[np.int64] | None
) -> Moments:
    """Return the weighted moments of the columns of CSR rows.

    Parameters
    ----------
    X, weights, rows
        As in `feature_moments`, but in CSR format.

    Returns
    -------
    Moments
        As ``sksoftmax.backend.statistics.feature_moments`` gives them.
    """
    rows = np.arange(X.shape[0]) if rows is None else rows
    data, indices, starts = elements_of(X)
    of_kernels = data, unsigned(indices), unsigned(starts)
    of_rows = to_read(np.zeros(0) if weights is None else weights.astype(float, copy=False))
    all_rows = to_read(unsigned(rows))
    sums, n_stored = np.zeros((1, X.shape[1]), SUMS), np.zeros(X.shape[1], np.int64)
    of_feature = sums[0]
    of_feature["low"], of_feature["high"] = np.inf, -np.inf
    with announced(SECONDS):
        weight = _add_elements(of_kernels, all_rows, of_rows, sums, n_stored)
        mean = of_feature["total"] / weight
        _add_squares(of_kernels, all_rows, of_rows, mean, sums)
    # Zeros that are not stored deviate by the mean.
    not_stored = np.maximum(weight - of_feature["stored"], 0)
    squares = of_feature["squares"] + not_stored * mean * mean
    low, high = of_feature["low"], of_feature["high"]
    has_zeros = n_stored < len(rows)
    low = np.where(has_zeros, np.minimum(low, 0), low)
    high = np.where(has_zeros, np.maximum(high, 0), high)
    return Moments(weight, mean, squares, low, high)
