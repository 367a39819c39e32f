"""An epoch of "distance-over-gradients" on sparse rows, compiled: batch after batch.

What is computed is stated in ``sksoftmax.backend.sparse.distance_law``. Each feature of a
batch is read and written once, however many of its rows hold it. The number of classes comes
as the length of `classes`: of a tuple it is known to the compiler, which loops over few classes
need to be fast; and functions that close over nothing are found on disk by the next process.
Indices are unsigned: one that might count from the end takes two more instructions, each time.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from sksoftmax_numba.compilation import compiled, inlined
from sksoftmax_numba.distance_law_kernels import (
    add_change,
    advance,
    move_intercepts,
    set_point,
    set_writing,
    squared_average,
    squared_gradient,
    step_and_weight,
)
from sksoftmax_numba.distance_slot_kernels import add_up, apply_product
from sksoftmax_numba.intrinsics import prefetch
from sksoftmax_numba.residuals import softmax_minus_targets

ROWS_AHEAD, AHEAD = 4, 8
"""Rows, and features, between those worked on and those that are prefetched."""

CACHED_BYTES = 2**19
"""Bytes of weights that are near enough without: there prefetching only takes time."""

ONE = np.uint64(1)

TURNS = 4
"""Sums of each group that take turns, since an addition must wait for the last one's end."""


@inlined
def _prefetch_row(data: Any, indices: Any, start: int, stop: int) -> None:
    """Prefetch the elements of a row."""
    for e in range(start, stop, 64 // indices.itemsize):
        prefetch(indices, 0, e)
    for e in range(start, stop, 64 // data.itemsize):
        prefetch(data, 0, e)


@inlined
def _find_slots(rows: Any, X: Any, slot: Any, of_slot: Any, n_before: int, batch: Any) -> int:
    """Note the distinct slots of a batch, and the position and value of each element.

    Slots found are numbered on from `n_before`: a smaller number is of an earlier batch.
    Half of the slots are new, and the processor cannot guess which: so there is no branch, and
    what is known already is written again. The record of a slot is prefetched one row before
    it is needed.
    """
    data, indices, indptr = X
    slots, _, _, positions, values = batch
    n_found = 0
    n_read = n_done = np.uint64(0)
    # Round i reads row i, and looks up the slots of row i - 1.
    for i in range(len(rows) + 1):
        if i + ROWS_AHEAD < len(rows):
            ahead = rows[i + ROWS_AHEAD]
            _prefetch_row(data, indices, indptr[ahead], indptr[ahead + ONE])
        if i < len(rows):
            for e in range(indptr[rows[i]], indptr[rows[i] + ONE]):
                p = slot[indices[0, e]]
                prefetch(of_slot, 0, p)
                positions[n_read], values[n_read] = p, data[0, e]
                n_read += ONE
        if i == 0:
            continue
        for _ in range(indptr[rows[i - 1]], indptr[rows[i - 1] + ONE]):
            p = positions[n_done]
            it = of_slot[0, p]
            here = it.number - n_before
            is_new = here < 0
            here = n_found if is_new else here
            it.number = n_before + here
            slots[np.uint64(here)] = p
            n_found += is_new
            positions[n_done] = here
            values[n_done] = (values[n_done] - it.subtracted) * it.inverse_scale
            n_done += ONE
    return n_found


@inlined
def _prefetch_parts(parts: Any, slots: Any, ahead: int, n_found: int) -> None:
    """Prefetch the parts of the slot at a position, if there is one."""
    if ahead < n_found:
        for i in range(0, parts.shape[1], 64 // parts.itemsize):
            prefetch(parts, slots[ahead], i)


@inlined
def _read_point(
    classes: Any, parts: Any, of_slot: Any, n_found: int, ahead: int, batch: Any, point: Any,
    of_shift: Any, weights: Any, gradient: Any,
) -> None:  # fmt: skip
    """Weights of a batch's slots where the gradient is taken; a gradient of 0."""
    slots, groups, centres, _, _ = batch
    n_classes = len(classes)
    for i in range(n_found):
        _prefetch_parts(parts, slots, i + ahead, n_found)
        u = np.uint64(i)
        p = slots[u]
        g, q = of_slot[0, p].group, of_slot[0, p].centre
        groups[u], centres[u] = g, q
        first, second = parts.dtype.type(point[g, 0]), parts.dtype.type(point[g, 1])
        for c in range(n_classes):
            weight = first * parts[p, c] + second * parts[p, n_classes + c]
            weights[u, c] = weight + q * of_shift[g, c]
            gradient[u, c] = 0


@inlined
def _scores(
    classes: Any, rows: Any, indptr: Any, positions: Any, values: Any, weights: Any, z: Any
) -> None:
    """Products of rows and the weights of their features."""
    n_classes, e = len(classes), np.uint64(0)
    for i in range(len(rows)):
        for c in range(n_classes):
            z[i, c] = 0
        for _ in range(indptr[rows[i]], indptr[rows[i] + ONE]):
            value, u = values[e], positions[e]
            for c in range(n_classes):
                z[i, c] += value * weights[u, c]
            e += ONE


@inlined
def _summed_rows(
    classes: Any, rows: Any, indptr: Any, positions: Any, values: Any, gradient: Any, z: Any
) -> None:
    """Sums of rows times residuals."""
    n_classes, e = len(classes), np.uint64(0)
    for i in range(len(rows)):
        for _ in range(indptr[rows[i]], indptr[rows[i] + ONE]):
            value, u = values[e], positions[e]
            for c in range(n_classes):
                gradient[u, c] += value * z[i, c]
            e += ONE


@inlined
def _sums_of_batch(
    classes: Any, n_found: int, batch: Any, weights: Any, gradient: Any, along_point: Any,
    lengths: Any, of_centres: Any, sums: Any,
) -> None:  # fmt: skip
    """By groups: gradients times weights, their lengths, and their sums times centres."""
    _, groups, centres, _, _ = batch
    n_classes = len(classes)
    of_centres[:], sums[:] = 0, 0
    for i in range(n_found):
        u = np.uint64(i)
        g, q, turn = groups[u], centres[u], u % np.uint64(TURNS)
        along, length = gradient.dtype.type(0), gradient.dtype.type(0)
        for c in range(n_classes):
            change = gradient[u, c]
            along += weights[u, c] * change
            length += change * change
            of_centres[g, c] += q * change
        sums[turn, g, 0] += along
        sums[turn, g, 1] += length
    for g in range(len(lengths)):
        along_point[g], lengths[g] = _of_all_turns(sums, g, 0), _of_all_turns(sums, g, 1)


@inlined
def _of_all_turns(sums: Any, g: int, i: int) -> float:
    """A sum of a group, by pairs."""
    total: float = (sums[0, g, i] + sums[1, g, i]) + (sums[2, g, i] + sums[3, g, i])
    return total


@inlined
def _write_gradient(
    classes: Any, parts: Any, n_found: int, ahead: int, batch: Any, write: Any, gradient: Any,
    along: Any, sums: Any,
) -> None:  # fmt: skip
    """Add a gradient to the parts of some slots; sum it times what they were, by groups."""
    slots, groups, _, _, _ = batch
    n_classes = len(classes)
    sums[:] = 0
    for i in range(n_found):
        _prefetch_parts(parts, slots, i + ahead, n_found)
        u = np.uint64(i)
        p, g, turn = slots[u], groups[u], u % np.uint64(TURNS)
        first, second = parts.dtype.type(write[g, 0]), parts.dtype.type(write[g, 1])
        of_first, of_second = parts.dtype.type(0), parts.dtype.type(0)
        for c in range(n_classes):
            change = gradient[u, c]
            of_first += parts[p, c] * change
            of_second += parts[p, n_classes + c] * change
            parts[p, c] += first * change
            parts[p, n_classes + c] += second * change
        sums[turn, g, 0] += of_first
        sums[turn, g, 1] += of_second
    for g in range(len(along)):
        along[g, 0], along[g, 1] = _of_all_turns(sums, g, 0), _of_all_turns(sums, g, 1)


@inlined
def _residuals(
    classes: Any, rows: Any, y: Any, row_weights: Any, at_point: Any, batch_size: int, z: Any,
    summed: Any,
) -> float:  # fmt: skip
    """Turn scores into residuals over the batch size, and sum them; return the loss."""
    of_rows = row_weights[rows] if len(row_weights) > 0 else row_weights
    loss: float = softmax_minus_targets(z, at_point.astype(z.dtype), y[rows], of_rows)
    summed[:] = 0
    factor = z.dtype.type(1 / batch_size)
    for i in range(len(rows)):
        for c in range(len(classes)):
            z[i, c] *= factor
            summed[c] += z[i, c]
    return loss


@compiled
def run_batches(
    classes: Any, order: Any, factors: Any, batch_size: int, n_steps: int, y: Any,
    row_weights: Any, X: Any, slot: Any, of_slot: Any, parts: Any, law: Any, intercepts: Any,
    norms: Any, rule: Any, intercept_scales: Any, batch: Any, buffers: Any,
) -> float:  # fmt: skip
    """Take one step for each batch, and return the summed loss.

    Parameters
    ----------
    classes, of_slot, parts, law
        As in ``distance_slot_kernels.add_up``.
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
    slot : unsigned array of shape (n_features,)
        The slot of each feature.
    intercepts : array of shape (2, n_classes)
        The iterate and the average.
    norms : float64 array of shape (3,)
        By the names of ``DistanceOverGradients``.
    rule : float64 array of shape (3,)
        The curvature, nearness and least weight of the problem.
    intercept_scales : tuple of float
        The scale of the intercepts in the step, and its inverse; 0 where they stay.
    batch : tuple of arrays
        Room for the slots, their groups and their centres; for the positions and the values
        of elements.
    buffers : tuple of arrays
        Room for weights and gradients of slots, and for scores.

    Returns
    -------
    float
        The weighted loss.
    """
    (_, _, _, positions, values), (weights, gradient, z) = batch, buffers
    n_groups, n_classes = len(law[0]), len(classes)
    point, write, along = (
        np.empty((n_groups, 2)),
        np.empty((n_groups, 2)),
        np.empty((n_groups, 2)),
    )
    sums = np.empty((TURNS, n_groups, 2))
    along_point, lengths = np.empty(n_groups), np.empty(n_groups)
    of_shift = np.empty((n_groups, n_classes), parts.dtype)
    centres = np.empty((n_groups, n_classes), parts.dtype)
    at_point, summed = np.empty(n_classes), np.empty(n_classes)
    scale, inverse_scale = intercept_scales
    loss, n_before = 0.0, 0
    ahead = AHEAD if parts.size * parts.itemsize > CACHED_BYTES else len(parts)
    for p in range(of_slot.shape[1]):
        of_slot[0, p].number = -1
    for i in range(len(factors)):
        rows = order[i * batch_size : (i + 1) * batch_size]
        n_found = _find_slots(rows, X, slot, of_slot, n_before, batch)
        n_before += n_found
        set_point(law, rule[1], intercepts, point, of_shift, at_point)
        _read_point(
            classes, parts, of_slot, n_found, ahead, batch, point, of_shift, weights, gradient
        )
        _scores(classes, rows, X[2], positions, values, weights, z)
        loss += _residuals(classes, rows, y, row_weights, at_point, batch_size, z, summed)
        _summed_rows(classes, rows, X[2], positions, values, gradient, z)
        _sums_of_batch(
            classes, n_found, batch, weights, gradient, along_point, lengths, centres, sums
        )
        squares = squared_gradient(law, point, along_point, lengths, centres, summed)
        for c in range(n_classes):
            squares += (inverse_scale * summed[c]) ** 2
        size, newest = step_and_weight(norms, rule, squares, n_steps + i + 1)
        size *= factors[i]
        if not advance(law, rule[1], size, newest):
            # The product can no longer be divided by: apply it everywhere, and begin another.
            apply_product(classes, parts, of_slot, law)
            add_up(classes, parts, of_slot, law)
        set_writing(law, size, newest, write)
        _write_gradient(classes, parts, n_found, ahead, batch, write, gradient, along, sums)
        add_change(law, write, along, lengths, centres, summed)
        way = squared_average(law)
        way += move_intercepts(intercepts, summed, size, newest, scale, inverse_scale)
        norms[0] = max(norms[0], math.sqrt(way))
    return loss
