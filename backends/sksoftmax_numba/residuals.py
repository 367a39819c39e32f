"""From scores to residuals and to the loss: the softmax of rows, or of classes, or of two.

Scores of sparse rows, and those that a BLAS computes, stand row by row. Those of dense tiles
and of stacks stand class by class, which is faster for few classes; of two classes there is but
the difference. Nothing is assumed of infinities or NaN. These functions know arrays only.
"""

from __future__ import annotations

import math
from typing import Any

from sksoftmax_numba.compilation import inlined_in_place
from sksoftmax_numba.exponential import exponential, logarithm_beyond_one


@inlined_in_place
def softmax_minus_targets(z: Any, intercept: Any, codes: Any, weights: Any) -> float:
    """Turn scores into weighted residuals, row by row; return the summed loss.

    Parameters
    ----------
    z : array of shape (at least n_rows, n_classes)
        Scores without intercepts, turned into residuals.
    intercept : array of shape (n_classes,)
        Intercepts.
    codes : int32 array of shape (n_rows,)
        Class codes.
    weights : array of shape (n_rows,) or (0,)
        Row weights; empty for ones.

    Returns
    -------
    float
        The weighted loss.
    """
    loss = 0.0
    n_rows, n_classes = len(codes), len(intercept)
    for i in range(n_rows):
        row = z[i]
        largest = row[0] + intercept[0]
        for c in range(n_classes):
            row[c] += intercept[c]
            # Not max(): a NaN must reach the loss.
            largest = row[c] if not row[c] <= largest else largest
        for c in range(n_classes):
            row[c] -= largest
        loss -= row[codes[i]] * (weights[i] if len(weights) > 0 else z.dtype.type(1))
    flat = z.reshape(-1)  # long enough for vectors
    for e in range(n_rows * n_classes):
        flat[e] = exponential(flat[e])
    for i in range(n_rows):
        row = z[i]
        total = z.dtype.type(0)
        for c in range(n_classes):
            total += row[c]
        weight = weights[i] if len(weights) > 0 else z.dtype.type(1)
        loss += weight * math.log(total)
        for c in range(n_classes):
            # The exponentials become weighted probabilities in the same pass.
            row[c] *= weight / total
        row[codes[i]] -= weight
    return loss


@inlined_in_place
def softmax_minus_targets_by_class(z: Any, codes: Any, weights: Any, room: Any) -> float:
    """Turn scores that stand class by class into weighted residuals; return the summed loss.

    Rows of a class lie side by side, so that loops over the rows are vectors.

    Parameters
    ----------
    z : array of shape (n_classes, at least n_rows)
        Scores with intercepts, turned into residuals.
    codes : int32 array of shape (n_rows,)
        Class codes.
    weights : array of shape (n_rows,) or (0,)
        Row weights; empty for ones.
    room : array of shape (2, at least n_rows)
        To work in.

    Returns
    -------
    float
        The weighted loss.
    """
    n_classes, n_rows = len(z), len(codes)
    is_weighted, one = len(weights) > 0, z.dtype.type(1)
    largest, total = room[0], room[1]
    for i in range(n_rows):
        largest[i] = z[0, i]
    for c in range(1, n_classes):
        row = z[c]
        for i in range(n_rows):
            # Not max(): a NaN must reach the loss.
            largest[i] = row[i] if not row[i] <= largest[i] else largest[i]
    loss = 0.0
    for i in range(n_rows):
        weight = weights[i] if is_weighted else one
        # log(total) less the target's score: the latter now, before it becomes an exponential.
        loss -= weight * (z[codes[i], i] - largest[i])
    total[:n_rows] = 0
    for c in range(n_classes):
        row = z[c]
        for i in range(n_rows):
            row[i] = exponential(row[i] - largest[i])
            total[i] += row[i]
    for i in range(n_rows):
        weight = weights[i] if is_weighted else one
        loss += weight * math.log(total[i])
        # From here on `total` is what a row's exponentials are multiplied by.
        total[i] = weight / total[i]
    for c in range(n_classes):
        row = z[c]
        for i in range(n_rows):
            row[i] *= total[i]
    for i in range(n_rows):
        z[codes[i], i] -= weights[i] if is_weighted else one
    return loss


@inlined_in_place
def sigmoid_minus_targets(z: Any, intercept: Any, codes: Any, weights: Any) -> Any:
    """Turn differences of two classes' scores into weighted residuals of the second class.

    Those of the first class are their negatives.

    Parameters
    ----------
    z : array of shape (at least n_rows,)
        Scores of the second class less those of the first, without intercepts; turned into
        residuals.
    intercept : array of shape (2,)
        Intercepts.
    codes : int32 array of shape (n_rows,)
        Class codes.
    weights : array of shape (n_rows,) or (0,)
        Row weights; empty for ones.

    Returns
    -------
    loss : float
        The weighted loss.
    total : float
        The sum of the residuals.
    """
    loss, total, one = 0.0, z.dtype.type(0), z.dtype.type(1)
    shift = intercept[1] - intercept[0]
    for i in range(len(codes)):
        weight = weights[i] if len(weights) > 0 else one
        score = z[i] + shift
        margin = score if codes[i] == 1 else -score
        size = abs(margin)
        smaller = exponential(-size)  # of two exponentials, where the other one is 1
        # log(1 + exp(-margin)); no score that is infinite or NaN leaves it finite.
        loss += weight * (logarithm_beyond_one(smaller) + z.dtype.type(0.5) * (size - margin))
        # The probability of the class that is not the row's own.
        missed = weight * (smaller if margin > 0 else one) / (one + smaller)
        residual = -missed if codes[i] == 1 else missed
        z[i] = residual
        total += residual
    return loss, total
