"""An epoch of dense updates over sparse rows of two classes, compiled.

What is computed is stated in ``sksoftmax.backend.sparse.dense_updates``: weights are those of
the second class alone. After the products of a batch, two passes over the weights do all else.
Indices are unsigned: one that might count from the end takes two more instructions, each time.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from sksoftmax_numba.compilation import compiled, inlined
from sksoftmax_numba.distance_law_kernels import step_and_weight
from sksoftmax_numba.residuals import sigmoid_minus_targets

ONE = np.uint64(1)

BLOCK = 512
"""Weights over which all loops of a pass run while the nearest cache holds them."""


@inlined
def _set_scores(rows: Any, X: Any, coordinates: Any, near: Any, values: Any, z: Any) -> None:
    """Note by how much scores of the second class are higher, and the elements of the rows.

    The intercepts are not among the scores.
    """
    data, indices, indptr = X
    subtracted, inverse_scales = coordinates
    e_of_batch = np.uint64(0)
    for i in range(len(rows)):
        score = z.dtype.type(0)
        for e in range(indptr[rows[i]], indptr[rows[i] + ONE]):
            j = indices[0, e]
            value = (data[0, e] - subtracted[j]) * inverse_scales[j]
            values[e_of_batch] = value
            e_of_batch += ONE
            score += value * near[j]
        z[i] = 2 * score  # the first class's is the negative


@inlined
def _add_rows(rows: Any, X: Any, values: Any, factor: float, z: Any, change: Any) -> float:
    """Add rows times residuals times a factor to the gradient; return the sum without rows."""
    _, indices, indptr = X
    e_of_batch, summed = np.uint64(0), 0.0
    for i in range(len(rows)):
        residual = factor * z[i]
        summed += residual
        for e in range(indptr[rows[i]], indptr[rows[i] + ONE]):
            change[indices[0, e]] += values[e_of_batch] * residual
            e_of_batch += ONE
    return summed


@inlined
def _complete_gradient(pieces: Any, residual: float) -> float:
    """Add the penalty and what centring does to the gradient; return its squared norm."""
    decays, centres, near, change = pieces[0], pieces[1], pieces[4], pieces[5]
    squares, summed = 0.0, change.dtype.type(residual)
    for start in range(0, len(change), BLOCK):
        block = slice(start, start + BLOCK)
        g, decay, centre, y = change[block], decays[block], centres[block], near[block]
        part = change.dtype.type(0)
        for j in range(len(g)):
            g[j] += decay[j] * y[j] - centre[j] * summed
            part += g[j] * g[j]
        squares += part
    return squares


@inlined
def _move(step: float, newest: float, nearness: float, pieces: Any) -> tuple[float, float]:
    """Move along the gradient, and clear it.

    Return the squared norm of the average, and what the means add to scores at the new point.
    """
    centres, iterate, average = pieces[1], pieces[2], pieces[3]
    near, change = pieces[4], pieces[5]
    number = change.dtype.type
    length, kept, share = number(step), number(1 - newest), number(newest)
    away, by = number(1 - nearness), number(nearness)
    squares = of_means = 0.0
    for start in range(0, len(change), BLOCK):
        block = slice(start, start + BLOCK)
        z, a, y, g = iterate[block], average[block], near[block], change[block]
        # One loop after another: the compiler makes vectors only of a few arrays at a time.
        for j in range(len(g)):
            z[j] -= length * g[j]
            g[j] = 0
        part = number(0)
        for j in range(len(a)):
            a[j] = kept * a[j] + share * z[j]
            part += a[j] * a[j]
        squares += part
        centre, part = centres[block], number(0)
        for j in range(len(y)):
            y[j] = away * z[j] + by * a[j]
            part += centre[j] * y[j]
        of_means += part
    return squares, of_means


@compiled
def run_batches(
    order: Any, factors: Any, batch_size: int, n_steps: int, y: Any, row_weights: Any, X: Any,
    coordinates: Any, pieces: Any, norms: Any, rule: Any, values: Any, z: Any,
) -> float:  # fmt: skip
    """Take one step for each batch, and return the summed loss.

    Parameters
    ----------
    order : uint64 array
        Rows, batch after batch.
    factors : float64 array of shape (n_batches,)
        What each step is multiplied by.
    batch_size, n_steps : int
        Rows a step, and steps before these.
    y, row_weights : arrays of shape (n_rows,)
        Class codes, and weights: empty for ones.
    X : tuple of arrays
        The data and indices of the rows, of shape (1, n_elements), and where each starts.
    coordinates : tuple of arrays
        What is subtracted from the elements of each feature, and what they are multiplied by
        then.
    pieces : array of shape (6, n_features + 1)
        The penalty on each weight in the coordinates of the step, and the centres; z and the
        average; room for the point between them, and for gradients, all zero.
    norms : float64 array of shape (3,)
        By the names of ``DistanceOverGradients``.
    rule : float64 array of shape (3,)
        The curvature, nearness and least weight of the problem.
    values, z : arrays
        Room for the elements of a batch, and for its scores, of shape (batch_size,).

    Returns
    -------
    float
        The weighted loss.
    """
    loss, intercepts = 0.0, np.empty(2, z.dtype)
    of_batch = z.dtype.type(1 / batch_size)
    near, change = pieces[4], pieces[5]
    _, of_means = _move(0.0, 0.0, rule[1], pieces)
    for i in range(len(factors)):
        rows = order[i * batch_size : (i + 1) * batch_size]
        _set_scores(rows, X, coordinates, near, values, z)
        intercepts[0], intercepts[1] = of_means, -of_means
        of_rows = row_weights[rows] if len(row_weights) > 0 else row_weights
        lost, _ = sigmoid_minus_targets(z, intercepts, y[rows], of_rows)
        loss += lost
        summed = _add_rows(rows, X, values, of_batch, z, change)
        squares = _complete_gradient(pieces, summed)
        # The other class's gradient and average are as long.
        size, newest = step_and_weight(norms, rule, 2 * squares, n_steps + i + 1)
        size *= factors[i]
        squares, of_means = _move(size, newest, rule[1], pieces)
        norms[0] = max(norms[0], math.sqrt(2 * squares))
    return loss
