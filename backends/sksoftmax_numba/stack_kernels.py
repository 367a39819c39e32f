"""What is left of a stack's step between and after its two products: one pass each.

These functions know arrays only.
"""

from __future__ import annotations

from typing import Any

from sksoftmax_numba.compilation import in_place
from sksoftmax_numba.distance_epoch import whole_step, write_point
from sksoftmax_numba.epoch import momentum_step
from sksoftmax_numba.residuals import softmax_minus_targets_by_class


@in_place
def residuals(z: Any, codes: Any, weights: Any, losses: Any, room: Any) -> None:
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
    room : array of shape (2, at least n_rows)
        To work in.
    """
    for m in range(len(z)):
        losses[m] = softmax_minus_targets_by_class(z[m], codes, weights, room)


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
