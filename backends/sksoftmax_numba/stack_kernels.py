"""What is left of a stack's step between and after its two products: one pass each.

Scores stand class by class, rows side by side, so that loops over the rows are vectors. These
functions know arrays only.
"""

from __future__ import annotations

import math
from typing import Any

from sksoftmax_numba.compilation import in_place
from sksoftmax_numba.distance_epoch import whole_step, write_point
from sksoftmax_numba.epoch import momentum_step
from sksoftmax_numba.exponential import exponential


@in_place
def residuals(z: Any, codes: Any, weights: Any, losses: Any, largest: Any, total: Any) -> None:
    """Turn scores into weighted residuals, and write the summed losses.

    Parameters
    ----------
    z : array of shape (n_models, n_classes, n_rows)
        Scores, turned into residuals.
    codes : int32 array of shape (n_rows,)
        Class codes.
    weights : array of shape (n_rows,) or (0,)
        Row weights; empty for ones.
    losses : float64 array of shape (n_models,)
        Written to.
    largest, total : arrays of shape (n_rows,)
        Room to work in.
    """
    n_models, n_classes, n_rows = z.shape
    is_weighted = len(weights) > 0
    one = z.dtype.type(1)
    for m in range(n_models):
        scores = z[m]
        for i in range(n_rows):
            largest[i] = scores[0, i]
        for c in range(1, n_classes):
            row = scores[c]
            for i in range(n_rows):
                # Not max(): a NaN must reach the loss.
                largest[i] = row[i] if not row[i] <= largest[i] else largest[i]
        loss = 0.0
        for i in range(n_rows):
            weight = weights[i] if is_weighted else one
            # log(total) less the target's score: the latter now, before it becomes an
            # exponential.
            loss -= weight * (scores[codes[i], i] - largest[i])
        total[:] = 0
        for c in range(n_classes):
            row = scores[c]
            for i in range(n_rows):
                row[i] = exponential(row[i] - largest[i])
                total[i] += row[i]
        for i in range(n_rows):
            weight = weights[i] if is_weighted else one
            loss += weight * math.log(total[i])
            # From here on `total` is what a row's exponentials are multiplied by.
            total[i] = weight / total[i]
        for c in range(n_classes):
            row = scores[c]
            for i in range(n_rows):
                # Class by class, since the rows of a class lie side by side.
                row[i] *= total[i]
        for i in range(n_rows):
            scores[codes[i], i] -= weights[i] if is_weighted else one
        losses[m] = loss


@in_place
def momentum_steps(
    parameters: Any, velocity: Any, average: Any, gradient: Any, no_means: Any,
    gradient_scales: Any, decay: Any, inverse_scales: Any, steps: Any, momentum: Any,
    nesterov: bool, newest: Any,
) -> None:  # fmt: skip
    """Step by SGD with momentum, and average, model by model; gradients are centred already."""
    for m in range(parameters.shape[0]):
        momentum_step(
            0, 1, parameters[m], velocity[m], average[m], gradient[m : m + 1],
            gradient[m : m + 1, :, -1], no_means, gradient_scales, decay[m],
            inverse_scales, steps[m], momentum[m], nesterov, newest,
        )  # fmt: skip


@in_place
def distance_steps(
    norms: Any, rules: Any, factors: Any, n_steps: int, parameters: Any, average: Any,
    point: Any, gradient: Any, no_means: Any, gradient_scales: Any, decay: Any,
    inverse_scales: Any, scales: Any, squares: Any,
) -> None:  # fmt: skip
    """Step by the rule that finds its own steps, model by model, and write the next points."""
    for m in range(parameters.shape[0]):
        whole_step(
            norms[m], rules[m], factors[m], n_steps, parameters[m], average[m],
            gradient[m : m + 1], gradient[m : m + 1, :, -1], point[m], no_means,
            gradient_scales, decay[m], inverse_scales, scales, squares,
        )  # fmt: skip
        write_point(rules[m, 1], parameters[m], average[m], point[m])
