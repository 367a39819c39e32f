"""How long the very first step is: one over the curvature along the first gradient.

It follows from two batches of rows and their labels, without a pass over the others. This
module must not know the steps that come after it.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sksoftmax.backend.contract import Backend
from sksoftmax.backend.statistics import computing_namespace
from sksoftmax.data.arrays import Array
from sksoftmax.training.coordinates import Coordinates
from sksoftmax.training.deviations import sampled_rows, weights_of


def measure_curvature(
    backend: Backend,
    X: Array,
    codes: NDArray[np.int32],
    n_classes: int,
    weights: NDArray[Any] | None,
    rows: NDArray[np.int64] | None,
    coordinates: Coordinates,
    *,
    fit_intercept: bool,
    batch_size: int,
    rng: np.random.Generator,
) -> float:
    r"""Measure the curvature along a first gradient: one over it is the first step.

    With R the residuals of the untrained model, K the products of the batch's rows with each
    other and 1/2 the bound on the Hessian of the softmax loss, the gradient is
    :math:`G = R^T X / b` and the curvature along it at most
    :math:`|X G^T|^2 / (2 b |G|^2) = |K R|^2 / (2 b \langle R, K R \rangle)`: no array need be
    as large as the model.

    The bound is met where two classes share a row's probability. Before the first step k
    classes do, and the Hessian is 1/k at most: the step may be k/2 times as long, unless the
    gradient of the batch is mostly noise. So another batch decides: from four classes on the
    step is doubled as long as that lowers the loss of other rows, and never beyond k/2 times.

    Parameters
    ----------
    backend, X, rows, rng
        As in ``deviations.measure_deviations``.
    codes : ndarray of shape (n_rows,), int32
        Class codes.
    n_classes : int
        Number of classes.
    weights : ndarray of shape (n_rows,), or None
        Row weights of mean 1.
    coordinates : Coordinates
        The coordinates of the step.
    fit_intercept : bool
        Whether intercepts move.
    batch_size : int
        Rows of a batch.

    Returns
    -------
    float
        Positive.

    References
    ----------
    Boehning, "Multinomial logistic regression algorithm", Annals of the Institute of
    Statistical Mathematics 44, 1992.
    """
    most = max(0, n_classes.bit_length() - 2)  # doublings within n_classes / 2
    count = X.shape[0] if rows is None else len(rows)
    if most > 0 and count >= 2 * batch_size:
        both = sampled_rows(X, rows, 2 * batch_size, rng)
        chosen, others = both[::2], both[1::2]
    else:
        chosen, others = sampled_rows(X, rows, batch_size, rng), np.zeros(0, np.int64)
    x = X[chosen]
    xp = computing_namespace(backend, x)
    w = weights_of(chosen, weights)
    # The untrained model gives each class the same probability.
    residual = np.full((len(chosen), n_classes), 1 / n_classes)
    residual[np.arange(len(chosen)), codes[chosen]] -= 1
    residual *= w[:, None]
    residual = xp.asarray(residual)
    # K R: the scores after a step along the gradient, up to its size.
    scores = coordinates.scores_along(xp, x, residual, fit_intercept)
    slope = float((residual * scores).sum())
    if not slope > 0:
        # A batch that says nothing: no gradient can be longer than its rows. Of sparse rows far
        # from zero beside their deviations, rounding leaves neither a slope nor lengths.
        lengths = xp.trace(coordinates.gram(xp, x, fit_intercept))
        length = float(lengths) / (2 * len(chosen))
        return length if length > 0 else 1.0
    scores *= scores
    bound = float(xp.asarray(w) @ scores.sum(axis=1)) / (2 * len(chosen) * slope)
    if len(others) == 0:
        return bound
    del scores  # for many classes the largest array here, as is what takes its place
    moved = coordinates.scores_along(xp, x, residual, fit_intercept, X[others])
    del residual
    moved *= -1 / (bound * len(chosen))
    n_doublings = _doublings(xp, moved, codes[others], weights_of(others, weights), most)
    return math.ldexp(bound, -n_doublings)


def _doublings(
    xp: Any, scores: Array, codes: NDArray[np.int32], weights: NDArray[np.float64], most: int
) -> int:
    """How often scores can be doubled while that lowers the loss, at most so many times.

    They are doubled in place.
    """
    w, rows, codes = xp.asarray(weights), xp.arange(len(codes)), xp.asarray(codes)
    least = np.inf
    for i in range(most + 1):
        if i > 0:
            scores *= 2
        moved = scores - xp.max(scores, axis=1, keepdims=True)
        losses = xp.log(xp.exp(moved).sum(axis=1)) - moved[rows, codes]
        loss = float(w @ losses)
        if not loss < least:
            return max(0, i - 1)
        least = loss
    return most
