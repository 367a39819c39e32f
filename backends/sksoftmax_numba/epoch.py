"""An epoch of SGD with momentum, by one thread or several.

A batch is cut into parts of about `PART_ROWS` rows, each with a gradient of its own, and the
parameters into ranges. Threads share out the parts, wait for each other, share out the ranges
to add up the gradients and step, and wait again. Neither parts nor ranges nor the order of
sums depend on who works on them: the bits are those of a single thread.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba.extending import register_jitable

from sksoftmax_numba.compilation import INLINED, in_place, inlined_in_place
from sksoftmax_numba.kernels import ROWS, copy_coefficients, summed_gradient
from sksoftmax_numba.threads import all_arrived

PART_ROWS = 64
"""Rows that are worth a gradient of their own, which must be added to the others."""

MOST_PARTS = 16
"""Most parts of a batch, and so most threads."""

RANGE = 1024
"""Features of a class that one thread steps. Full ranges leave nothing to the remainder of an
unrolled vector loop, which might round in another way."""

FIRST: Any = np.intp(0)
NOBODY: Any = np.intp(-1)
"""The first feature, and no thread at all. Numba would compile a function once for each literal
number that it is called with."""


@register_jitable(**INLINED)
def n_parts_of(n_rows: int) -> int:
    """Return into how many parts a batch of so many rows is cut."""
    return min(MOST_PARTS, (n_rows + PART_ROWS - 1) // PART_ROWS)


@inlined_in_place
def bounds_of_part(n_rows: int, p: int, n_parts: int) -> tuple[int, int]:
    """Return where a part of a batch begins and ends: whole tiles, none beyond the last."""
    if p >= n_parts:
        return 0, 0
    n_tiles = (n_rows + ROWS - 1) // ROWS
    return ROWS * (n_tiles * p // n_parts), ROWS * (n_tiles * (p + 1) // n_parts)


@inlined_in_place
def add_up(gradients: Any, c: int, first: int, last: int, thread: int, n_threads: int) -> None:
    """Add gradients of parts pair by pair, pairs of pairs and so on, for a run of features.

    The sum is where that of the first part was. What lies within the parts of one thread is
    added by it alone, in its own cache and before it waits; the rest by the thread that has
    these features in the step, which passes NOBODY for `thread`: one thread alone adds all.
    """
    n_parts, span = len(gradients), 1
    while span < n_parts:
        # Sums of `span` parts stand at multiples of it; each takes in its right neighbour.
        for left in range(0, n_parts - span, 2 * span):
            right = min(left + 2 * span, n_parts) - 1
            # The thread that has the part `left`, by the bounds in `write_gradients`.
            owner = ((left + 1) * n_threads - 1) // n_parts
            is_whole = owner == ((right + 1) * n_threads - 1) // n_parts and n_threads > 1
            if thread == (owner if is_whole else -1):
                g, more = gradients[left, c], gradients[left + span, c]
                # Of a signed index that begins above 0, Numba asks whether it is negative.
                for j in range(np.uintp(first), np.uintp(last)):
                    g[j] += more[j]
        span *= 2


@inlined_in_place
def write_gradients(
    thread: int, n_threads: int, X: Any, y: Any, weights: Any, order: Any, batch_size: int,
    i: int, room: Any, gradients: Any, of_intercepts: Any, losses: Any,
) -> int:  # fmt: skip
    """Do one thread's share of the gradients of the i-th batch; return in how many parts.

    What lies within the parts of a thread is added up. Arguments are as in `momentum_epoch`.
    """
    rows = order[i * batch_size : (i + 1) * batch_size]
    following = order[(i + 1) * batch_size : (i + 2) * batch_size]
    n_parts, n_following = n_parts_of(len(rows)), n_parts_of(len(following))
    last = n_parts * (thread + 1) // n_threads
    # The last part of a thread prefetches the first one that it will have of the next batch.
    for p in range(n_parts * thread // n_threads, last):
        begin, end = bounds_of_part(len(rows), p, n_parts)
        batch, part, n_of_batch = rows, p + 1, n_parts
        if part == last:
            batch, part, n_of_batch = following, n_following * thread // n_threads, n_following
        next_begin, next_end = bounds_of_part(len(batch), part, n_of_batch)
        losses[p] += summed_gradient(
            X, y, weights, rows[begin:end], batch[next_begin:next_end], room, gradients[p],
            of_intercepts[p],
        )  # fmt: skip
    for c in range(gradients.shape[1]):
        add_up(gradients[:n_parts], c, FIRST, X.shape[2], thread, n_threads)
    return n_parts


@inlined_in_place
def momentum_step(
    thread: int, n_threads: int, parameters: Any, velocity: Any, average: Any, gradients: Any,
    of_intercepts: Any, means: Any, gradient_scales: Any, decay: Any, inverse_scales: Any,
    step: Any, momentum: Any, nesterov: bool, newest: Any,
) -> None:  # fmt: skip
    """Do one thread's share of a step by SGD with momentum, and of averaging.

    It adds up what is left of the gradients, and centres it. Shares are runs of ranges, those
    of a class after those of another, so that few cache lines are written to by two threads.
    """
    n = len(means)
    n_ranges = max(1, (n + RANGE - 1) // RANGE)
    n_shares = parameters.shape[0] * n_ranges
    for share in range(n_shares * thread // n_threads, n_shares * (thread + 1) // n_threads):
        # Shares count the ranges of class 0, then those of class 1, and so on.
        c, first = share // n_ranges, RANGE * (share % n_ranges)
        last = min(n, first + RANGE)
        w, v, a, g = parameters[c], velocity[c], average[c], gradients[0, c]
        add_up(gradients, c, first, last, NOBODY, n_threads)
        total = of_intercepts[0, c]
        for p in range(1, len(of_intercepts)):
            total += of_intercepts[p, c]
        for j in range(np.uintp(first), np.uintp(last)):
            # Centred through the sums: of r (x - m), that of r x less m times that of r.
            slope = g[j] - total * means[j]
            change = (slope * gradient_scales[j] + decay[j] * w[j]) * (step * inverse_scales[j])
            moved = momentum * v[j] - change
            v[j] = moved
            weight = w[j] + (momentum * moved - change if nesterov else moved)
            w[j] = weight
            a[j] += newest * (weight - a[j])
        # The thread that has a class's last features steps its intercept as well.
        if last == n:
            change = total * gradient_scales[n] * (step * inverse_scales[n])
            v[n] = momentum * v[n] - change
            w[n] += momentum * v[n] - change if nesterov else v[n]
            a[n] += newest * (w[n] - a[n])


@in_place
def momentum_epoch(
    thread: int, n_threads: int, arrived: Any, X: Any, y: Any, weights: Any, order: Any,
    batch_size: int, steps: Any, newest: Any, parameters: Any, velocity: Any, average: Any,
    means: Any, gradient_scales: Any, decay: Any, inverse_scales: Any, momentum: Any,
    nesterov: bool, room: Any, gradients: Any, of_intercepts: Any, losses: Any,
) -> None:  # fmt: skip
    """Do one thread's share of a step for each batch of `order`; add up the losses of parts.

    Parameters
    ----------
    thread, n_threads : int
        Which of how many.
    arrived : int64 array of shape (1,)
        Zero at first; see `all_arrived`.
    X, y, weights, order, batch_size
        As in `summed_gradient`, and the rows batch after batch.
    steps, newest : arrays of shape (n_batches,)
        The steps, and the weights of the iterates in the average.
    parameters, velocity, average : arrays of shape (n_classes, n_features + 1)
        Changed by each step.
    means : array of shape (n_features,)
        The centre of the features.
    gradient_scales, decay, inverse_scales : arrays of shape (n_features + 1,)
        Factors of the step.
    momentum, nesterov : float, bool
        Of the rule.
    room : tuple of arrays
        Buffers of this thread, as in `summed_gradient`.
    gradients, of_intercepts, losses : arrays whose first axis is that of the parts
        Buffers that threads share; losses is float64.
    """
    for i in range(len(steps)):
        copy_coefficients(parameters, means, room[0], room[1])
        n_parts = write_gradients(
            thread, n_threads, X, y, weights, order, batch_size, i, room, gradients,
            of_intercepts, losses,
        )  # fmt: skip
        # Two waits a step: until all gradients are written, and until all ranges have moved.
        if not all_arrived(arrived, n_threads, 2 * i + 1):
            return
        momentum_step(
            thread, n_threads, parameters, velocity, average, gradients[:n_parts],
            of_intercepts[:n_parts], means, gradient_scales, decay, inverse_scales, steps[i],
            momentum, nesterov, newest[i],
        )  # fmt: skip
        if not all_arrived(arrived, n_threads, 2 * i + 2):
            return
