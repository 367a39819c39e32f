"""An epoch of the rule that finds its own steps, by one thread or several.

Threads share out parts and ranges as in ``epoch``, and wait for each other once more in each
step, whose size depends on the whole gradient. Squares are summed range by range, and every
thread adds the same sums in the same order: the bits are those of a single thread.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba.extending import register_jitable
from numpy.typing import NDArray

from sksoftmax.backend import TINY, Problem
from sksoftmax_numba.compilation import INLINED, in_place, inlined_in_place
from sksoftmax_numba.epoch import NOBODY, RANGE, add_up, write_gradients
from sksoftmax_numba.threads import all_arrived


def rules_of(problem: Problem) -> NDArray[np.float64]:
    """Return the numbers of the rule for each model of a problem.

    Parameters
    ----------
    problem : Problem
        What is trained.

    Returns
    -------
    ndarray of shape (n_models, 3), float64
        One over the first step, the nearness, and the least weight of the newest iterate.
    """
    assert problem.curvature is not None
    ones, rule = np.ones(problem.n_models), problem.rule
    numbers = problem.curvature, rule.nearness * ones, rule.least_weight * ones
    return np.stack(numbers, axis=1)


@register_jitable(**INLINED)
def n_ranges_of(n_features: int) -> int:
    """Return into how many ranges a class of so many features is cut."""
    return max(1, (n_features + RANGE - 1) // RANGE)


@inlined_in_place
def copy_point(
    nearness: float, parameters: Any, average: Any, means: Any, coef: Any, intercept: Any
) -> None:
    """Copy where the next gradient is taken, as `copy_coefficients` copies parameters."""
    near, far = coef.dtype.type(nearness), coef.dtype.type(1 - nearness)
    n = len(means)
    for c in range(parameters.shape[0]):
        w, a = parameters[c], average[c]
        shift = coef.dtype.type(0)
        for j in range(n):
            weight = far * w[j] + near * a[j]
            coef[c, j] = weight
            shift += weight * means[j]
        intercept[c] = far * w[n] + near * a[n] - shift


@inlined_in_place
def write_point(nearness: float, parameters: Any, average: Any, point: Any) -> None:
    """Write where the next gradient is taken, in the layout of the parameters."""
    near, far = point.dtype.type(nearness), point.dtype.type(1 - nearness)
    for c in range(parameters.shape[0]):
        w, a, y = parameters[c], average[c], point[c]
        for j in range(len(y)):
            y[j] = far * w[j] + near * a[j]


@inlined_in_place
def sum_of_parts(of_intercepts: Any, c: int) -> Any:
    """Return the gradient of an intercept, added up over the parts of a batch."""
    total = of_intercepts[0, c]
    for p in range(1, len(of_intercepts)):
        total += of_intercepts[p, c]
    return total


@inlined_in_place
def finish_gradient(
    thread: int, n_threads: int, gradients: Any, of_intercepts: Any, point: Any, means: Any,
    gradient_scales: Any, decay: Any, squares: Any,
) -> None:  # fmt: skip
    """Do one thread's share of what is left of the gradient, and sum its squares.

    It adds up the gradients of parts, centres them and adds the penalty's. The gradient of
    intercepts stays in parts, since the thread of another range of the class reads it too.
    """
    n = len(means)
    n_ranges = n_ranges_of(n)
    for share in range(
        len(squares) * thread // n_threads, len(squares) * (thread + 1) // n_threads
    ):
        c, first = share // n_ranges, RANGE * (share % n_ranges)
        last = min(n, first + RANGE)
        y, g = point[c], gradients[0, c]
        add_up(gradients, c, first, last, NOBODY, n_threads)
        total = sum_of_parts(of_intercepts, c)
        squared = 0.0
        for j in range(np.uintp(first), np.uintp(last)):
            slope = (g[j] - total * means[j]) * gradient_scales[j] + decay[j] * y[j]
            g[j] = slope
            squared += np.float64(slope) * np.float64(slope)
        if last == n:
            slope = total * gradient_scales[n]
            squared += np.float64(slope) * np.float64(slope)
        squares[share] = squared


@inlined_in_place
def take_in(norms: Any, squares: Any, rule: Any, n_steps: int) -> Any:
    """Take a gradient into the norms; return the step, and the weight of the newest iterate.

    ``DistanceOverGradients.step_and_weight`` says what it means.

    Parameters
    ----------
    norms : array of shape (3,), float64
        The distance, the weighted squares and the sum of the weights: changed.
    squares : array of shape (n_shares,), float64
        The squares of the gradient, range by range.
    rule : array of shape (3,), float64
        One over the first step, the nearness, and the least weight of the newest iterate.
    n_steps : int
        Steps so far, this one included.

    Returns
    -------
    step, newest : float
        The step is 0 where every gradient so far was 0.
    """
    squared = 0.0
    for share in range(len(squares)):
        squared += squares[share]
    distance, total, weight = norms[0], norms[1], norms[2]
    curvature, least = rule[0], rule[2]
    is_first = total == 0
    if is_first:
        way = math.sqrt(squared) / curvature
        distance = distance if way <= distance else way  # a NaN stays
    area = distance * distance
    curved = area * curvature
    total = curved * curved if is_first else total + area * squared
    weight += area * n_steps
    norms[0], norms[1], norms[2] = distance, total, weight
    step = area / math.sqrt(TINY if total < TINY else total)
    newest = area * n_steps / (TINY if weight < TINY else weight)
    return step, least if newest < least else newest


@inlined_in_place
def take_step(
    thread: int, n_threads: int, parameters: Any, average: Any, gradients: Any,
    of_intercepts: Any, gradient_scales: Any, inverse_scales: Any, scales: Any, step: Any,
    newest: Any, squares: Any,
) -> None:  # fmt: skip
    """Do one thread's share of a step and of averaging, and sum the average's squares."""
    n = parameters.shape[1] - 1
    n_ranges = n_ranges_of(n)
    for share in range(
        len(squares) * thread // n_threads, len(squares) * (thread + 1) // n_threads
    ):
        c, first = share // n_ranges, RANGE * (share % n_ranges)
        last = min(n, first + RANGE)
        w, a, g = parameters[c], average[c], gradients[0, c]
        squared = 0.0
        for j in range(np.uintp(first), np.uintp(last)):
            weight = w[j] - g[j] * (step * inverse_scales[j])
            w[j] = weight
            mean = a[j] + newest * (weight - a[j])
            a[j] = mean
            way = np.float64(mean * scales[j])
            squared += way * way
        if last == n:
            slope = sum_of_parts(of_intercepts, c) * gradient_scales[n]
            w[n] -= slope * (step * inverse_scales[n])
            a[n] += newest * (w[n] - a[n])
            way = np.float64(a[n] * scales[n])
            squared += way * way
        squares[share] = squared


@inlined_in_place
def widen(norms: Any, squares: Any) -> None:
    """Take the average into the distance, from its squares range by range."""
    squared = 0.0
    for share in range(len(squares)):
        squared += squares[share]
    way = math.sqrt(squared)
    norms[0] = norms[0] if way <= norms[0] else way  # a NaN stays


@inlined_in_place
def whole_step(
    norms: Any, rule: Any, factor: float, n_steps: int, parameters: Any, average: Any,
    gradients: Any, of_intercepts: Any, point: Any, means: Any, gradient_scales: Any,
    decay: Any, inverse_scales: Any, scales: Any, squares: Any,
) -> None:  # fmt: skip
    """Take a step by one thread, from a gradient that is not centred yet.

    Parameters
    ----------
    norms : array of shape (3,), float64
        As in `take_in`.
    rule : array of shape (3,), float64
        As in `take_in`.
    factor : float
        What the step is multiplied by.
    n_steps : int
        Steps so far, this one included.
    parameters, average : arrays of shape (n_classes, n_features + 1)
        Changed.
    gradients, of_intercepts : arrays whose first axis is that of the parts
        Overwritten.
    point : array of shape (n_classes, at least n_features)
        Where the gradient was taken.
    means, gradient_scales, decay, inverse_scales, scales
        As in `distance_epoch`.
    squares : array of shape (2, n_shares), float64
        Room for the squares of the gradient and of the average.
    """
    dtype = parameters.dtype
    finish_gradient(
        0, 1, gradients, of_intercepts, point, means, gradient_scales, decay, squares[0]
    )
    step, newest = take_in(norms, squares[0], rule, n_steps)
    take_step(
        0, 1, parameters, average, gradients, of_intercepts, gradient_scales, inverse_scales,
        scales, dtype.type(step * factor), dtype.type(newest), squares[1],
    )  # fmt: skip
    widen(norms, squares[1])


@in_place
def distance_epoch(
    thread: int, n_threads: int, arrived: Any, X: Any, y: Any, weights: Any, order: Any,
    batch_size: int, factors: Any, n_steps: int, norms: Any, rule: Any,
    parameters: Any, average: Any, means: Any, gradient_scales: Any, decay: Any,
    inverse_scales: Any, scales: Any, squares: Any, room: Any, gradients: Any,
    of_intercepts: Any, losses: Any,
) -> None:  # fmt: skip
    """Do one thread's share of a step for each batch of `order`; add up the losses of parts.

    Parameters
    ----------
    thread, n_threads : int
        Which of how many.
    arrived : int64 array of shape (1,)
        Zero at first; see `all_arrived`.
    X, y, weights, order, batch_size
        As in `momentum_epoch`.
    factors : array of shape (n_batches,), float64
        What each step is multiplied by.
    n_steps : int
        Steps before the first of these.
    norms : array of shape (n_threads, 3), float64
        As in `take_in`, for each thread the same; changed.
    rule : array of shape (3,), float64
        As in `take_in`.
    parameters, average : arrays of shape (n_classes, n_features + 1)
        Changed by each step.
    means : array of shape (n_features,)
        The centre of the features.
    gradient_scales, decay, inverse_scales, scales : arrays of shape (n_features + 1,)
        Factors of the step, and the scales by which distances are measured.
    squares : array of shape (2, n_shares), float64
        A buffer that threads share: the squares of the gradient and of the average.
    room : tuple of arrays
        Buffers of this thread, as in `summed_gradient`.
    gradients, of_intercepts, losses : arrays whose first axis is that of the parts
        Buffers that threads share; losses is float64.
    """
    dtype = parameters.dtype
    known = norms[thread]
    coef, intercept = room[0], room[1]
    for i in range(len(factors)):
        copy_point(rule[1], parameters, average, means, coef, intercept)
        n_parts = write_gradients(
            thread, n_threads, X, y, weights, order, batch_size, i, room, gradients,
            of_intercepts, losses,
        )  # fmt: skip
        of_batch, of_theirs = gradients[:n_parts], of_intercepts[:n_parts]
        # Three waits a step: until gradients are written, their squares summed, ranges moved.
        if not all_arrived(arrived, n_threads, 3 * i + 1):
            return
        finish_gradient(
            thread, n_threads, of_batch, of_theirs, coef, means, gradient_scales, decay,
            squares[0],
        )  # fmt: skip
        if not all_arrived(arrived, n_threads, 3 * i + 2):
            return
        step, newest = take_in(known, squares[0], rule, n_steps + i + 1)
        take_step(
            thread, n_threads, parameters, average, of_batch, of_theirs, gradient_scales,
            inverse_scales, scales, dtype.type(step * factors[i]), dtype.type(newest),
            squares[1],
        )  # fmt: skip
        if not all_arrived(arrived, n_threads, 3 * i + 3):
            return
        widen(known, squares[1])
