"""A step of a given size on sparse rows, compiled.

Each feature of a batch is read and written once, however many of its rows hold it; where it
stands is found once for each stored element. The numbers of classes, modes and parts come as
the lengths of tuples, which the compiler knows: a loop over few classes is fast only then.
"""

from __future__ import annotations

from typing import Any

from sksoftmax_numba.compilation import compiled, inlined
from sksoftmax_numba.intrinsics import prefetch
from sksoftmax_numba.residuals import softmax_minus_targets

AHEAD = 8
"""Features between the one that is worked on and the one that memory is asked for."""


@inlined
def _find_slots(
    rows: Any, X: Any, slot: Any, inverse_scales: Any, position: Any, slots: Any,
    positions: Any, values: Any,
) -> int:  # fmt: skip
    """Note the distinct slots of a batch, and the position and value of each element."""
    data, indices, indptr = X
    n_found, n_elements = 0, 0
    for row in rows:
        for e in range(indptr[row], indptr[row + 1]):
            p = slot[indices[0, e]]
            here = position[p]
            # A position may be left from an earlier batch: then another slot is there now.
            if here >= n_found or slots[here] != p:
                here = n_found
                position[p], slots[here] = here, p
                n_found += 1
            positions[n_elements] = here
            values[n_elements] = data[0, e] * inverse_scales[p]
            n_elements += 1
    return n_found


@inlined
def _prefetch_parts(parts: Any, slots: Any, u: int, n_found: int) -> None:
    """Prefetch the parts of the slot that comes `AHEAD` after position u."""
    if u + AHEAD < n_found:
        for i in range(0, parts.shape[1], 64 // parts.itemsize):
            prefetch(parts, slots[u + AHEAD], i)


@inlined
def _scores(
    classes: Any, rows: Any, indptr: Any, positions: Any, values: Any, weights: Any, z: Any
) -> None:
    """Products of rows and the weights of their features."""
    n_classes, e = len(classes), 0
    for i in range(len(rows)):
        for c in range(n_classes):
            z[i, c] = 0
        for _ in range(indptr[rows[i]], indptr[rows[i] + 1]):
            for c in range(n_classes):
                z[i, c] += values[e] * weights[positions[e], c]
            e += 1


@inlined
def _summed_rows(
    classes: Any, rows: Any, indptr: Any, positions: Any, values: Any, change: Any, z: Any
) -> None:
    """Sums of rows times residuals."""
    n_classes, e = len(classes), 0
    for i in range(len(rows)):
        for _ in range(indptr[rows[i]], indptr[rows[i] + 1]):
            for c in range(n_classes):
                change[positions[e], c] += values[e] * z[i, c]
            e += 1


@inlined
def _read_weights(
    classes: Any, modes: Any, parts: Any, slots: Any, n_found: int, group: Any, read: Any,
    weights: Any,
) -> None:  # fmt: skip
    """Weights of slots before a step."""
    n_classes = len(classes)
    for u in range(n_found):
        _prefetch_parts(parts, slots, u, n_found)
        p = slots[u]
        factors = read[group[p]]
        for c in range(n_classes):
            weight = factors[0] * parts[p, c]
            if len(modes) == 2:
                weight += factors[1] * parts[p, n_classes + c]
            weights[u, c] = weight


@inlined
def _write_changes(
    classes: Any, kinds: Any, parts: Any, slots: Any, n_found: int, group: Any, write: Any,
    change: Any,
) -> None:  # fmt: skip
    """Add changes to all parts of slots."""
    n_classes = len(classes)
    for u in range(n_found):
        _prefetch_parts(parts, slots, u, n_found)
        p = slots[u]
        factors = write[group[p]]
        for c in range(n_classes):
            moved = change[u, c]
            parts[p, c] += factors[0] * moved
            if len(kinds) > 1:
                parts[p, n_classes + c] += factors[1] * moved
            if len(kinds) > 2:
                parts[p, 2 * n_classes + c] += factors[2] * moved


@compiled
def lazy_step(
    classes: Any, modes: Any, kinds: Any, rows: Any, y: Any, row_weights: Any, X: Any,
    slot: Any, inverse_scales: Any, parts: Any, group: Any, read: Any, write: Any,
    intercept: Any, factor: Any, position: Any, buffers: Any,
) -> float:  # fmt: skip
    """Take a step, and return the summed loss of its batch.

    Parameters
    ----------
    classes : tuple or array
        Its length is the number of classes.
    modes, kinds : tuples
        Their lengths are the numbers of modes and of parts in the tables of ``LinearLaw``.
    rows : int64 array
        The batch.
    y, row_weights : arrays of shape (n_rows,)
        Class codes, and weights: empty for ones.
    X : tuple of arrays
        The data and indices of all rows, of shape (1, n_elements), and where each starts.
    slot, inverse_scales, parts, group
        The slot of each feature; of each slot, what its values are multiplied by, the
        parts, of shape (n_slots, n_parts * n_classes), and the group.
    read, write : arrays
        The tables of this step.
    intercept : array of shape (n_classes,)
        The intercepts.
    factor : float
        What residuals are multiplied by.
    position : int array of shape (n_slots,)
        Where each slot was found last.
    buffers : tuple of arrays
        Room for slots, positions and values of elements, for weights and scores; the last
        receives the change of the intercepts.

    Returns
    -------
    float
        The weighted loss.
    """
    slots, positions, values, weights, z, of_intercept = buffers
    n_classes, indptr = len(classes), X[2]
    n_found = _find_slots(rows, X, slot, inverse_scales, position, slots, positions, values)
    _read_weights(classes, modes, parts, slots, n_found, group, read, weights)
    _scores(classes, rows, indptr, positions, values, weights, z)
    of_rows = row_weights[rows] if len(row_weights) > 0 else row_weights
    loss: float = softmax_minus_targets(z, intercept, y[rows], of_rows)
    of_intercept[:] = 0
    for i in range(len(rows)):
        for c in range(n_classes):
            # The factor is minus the step over the batch size: residuals become changes.
            z[i, c] *= factor
            of_intercept[c] += z[i, c]
    weights[:n_found] = 0  # read no more: now they are changes
    _summed_rows(classes, rows, indptr, positions, values, weights, z)
    _write_changes(classes, kinds, parts, slots, n_found, group, write, weights)
    return loss
