"""What "distance-over-gradients" does to all slots of sparse features at once, compiled.

That is how an epoch begins and ends, how the running product is applied to every weight, and
what is then added up of them. ``distance_kernels`` says how these functions are told the number
of classes. This module must not know rows.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sksoftmax_numba.compilation import compiled, inlined


def slots_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the layout of the record of a slot, whose fields are read at once.

    Parameters
    ----------
    dtype : numpy dtype
        That of training.

    Returns
    -------
    numpy dtype
        The last number given to the slot, its group, its centre in the coordinates of the
        step, what is subtracted from its elements, and what they are multiplied by then.
    """
    numbers = [(name, dtype) for name in ("centre", "subtracted", "inverse_scale")]
    return np.dtype([("number", np.int64), ("group", np.uint32), *numbers], align=True)


@inlined
def add_up(classes: Any, parts: Any, of_slot: Any, law: Any) -> None:
    """Begin another product, and add up what the law must know of all slots.

    Parameters
    ----------
    classes : tuple or array
        Its length is the number of classes.
    parts : array of shape (n_slots, 2 * n_classes)
        z and d of each slot.
    of_slot : array of shape (1, n_slots)
        Of `slots_dtype`.
    law : tuple of arrays
        The product, gamma, S, C, Q, decay and moves of ``RunningLaw``.
    """
    product, shift, squares, centre_sums, centre_squares, _, _ = law
    n_classes = len(classes)
    shift[:], squares[:], centre_sums[:], centre_squares[:] = 0, 0, 0, 0
    for g in range(len(product)):
        product[g, 0, 0] = product[g, 1, 1] = 1
        product[g, 0, 1] = product[g, 1, 0] = 0
    for p in range(of_slot.shape[1]):
        g, q = of_slot[0, p].group, np.float64(of_slot[0, p].centre)
        zero = parts.dtype.type(0)
        s00 = s01 = s11 = zero
        for c in range(n_classes):
            first, second = parts[p, c], parts[p, n_classes + c]
            s00 += first * first
            s01 += first * second
            s11 += second * second
        squares[g, 0, 0] += s00
        squares[g, 0, 1] += s01
        squares[g, 1, 1] += s11
        if q != 0:
            centre_squares[g] += q * q
            for c in range(n_classes):
                centre_sums[g, 0, c] += q * parts[p, c]
                centre_sums[g, 1, c] += q * parts[p, n_classes + c]
    for g in range(len(product)):
        squares[g, 1, 0] = squares[g, 0, 1]


@inlined
def apply_product(classes: Any, parts: Any, of_slot: Any, law: Any) -> None:
    """Let all slots hold z and d.

    Parameters
    ----------
    classes, parts, of_slot, law
        As in `add_up`.
    """
    product, shift = law[0], law[1]
    n_classes = len(classes)
    number = parts.dtype.type
    # (z, d) = P (u + q gamma): P gamma, once for each group, in the layout of the parts.
    shifts = np.empty((len(product), 2 * n_classes), parts.dtype)
    for g in range(len(product)):
        for i in range(2):
            for c in range(n_classes):
                moved = product[g, i, 0] * shift[g, 0, c] + product[g, i, 1] * shift[g, 1, c]
                shifts[g, i * n_classes + c] = moved
    for p in range(of_slot.shape[1]):
        g, q = of_slot[0, p].group, of_slot[0, p].centre
        p00, p01 = number(product[g, 0, 0]), number(product[g, 0, 1])
        p10, p11 = number(product[g, 1, 0]), number(product[g, 1, 1])
        for c in range(n_classes):
            first, second = parts[p, c], parts[p, n_classes + c]
            parts[p, c] = p00 * first + p01 * second + q * shifts[g, c]
            moved = p10 * first + p11 * second
            parts[p, n_classes + c] = moved + q * shifts[g, n_classes + c]


@compiled
def begin(classes: Any, parts: Any, scales: Any) -> None:
    """Scale z and the average, and turn the average into d."""
    n_classes = len(classes)
    for p in range(len(scales)):
        scale = scales[p]
        for c in range(n_classes):
            first = parts[p, c] * scale
            parts[p, n_classes + c] = parts[p, n_classes + c] * scale - first
            parts[p, c] = first


@compiled
def end(classes: Any, parts: Any, scales: Any) -> None:
    """Undo `begin`."""
    n_classes = len(classes)
    for p in range(len(scales)):
        scale = scales[p]
        for c in range(n_classes):
            first = parts[p, c]
            parts[p, n_classes + c] = (parts[p, n_classes + c] + first) / scale
            parts[p, c] = first / scale


@compiled
def squared_point(classes: Any, parts: Any, scales: Any, nearness: float) -> float:
    """Return the squared norm of the point between z and the average, between two epochs.

    Parameters
    ----------
    classes, parts
        As in `add_up`, but for an average in place of d.
    scales : float64 array of shape (n_slots,)
        What the weights of each slot are multiplied by.
    nearness : float
        How near the average the point is.

    Returns
    -------
    float
        In the coordinates of the penalty.
    """
    n_classes, total = len(classes), 0.0
    near = parts.dtype.type(nearness)
    away = parts.dtype.type(1 - nearness)
    for p in range(len(scales)):
        of_slot = 0.0
        for c in range(n_classes):
            point = np.float64(away * parts[p, c] + near * parts[p, n_classes + c])
            of_slot += point * point
        total += of_slot * (scales[p] * scales[p])
    return total
