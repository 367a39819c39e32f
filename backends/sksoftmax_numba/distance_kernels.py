"""An epoch of "distance-over-gradients" on sparse rows, compiled.

What is computed is stated in ``sksoftmax.backend.sparse.distance_law``. Each feature of a
batch is read and written once, however many of its rows hold it. The number of classes comes
as the length of `classes`: of a tuple it is known to the compiler, which loops over few classes
need to be fast; and functions that close over nothing are found on disk by the next process.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from sksoftmax.backend import LARGEST_FACTOR, LARGEST_LOSS, LEAST_DETERMINANT
from sksoftmax_numba.compilation import compiled
from sksoftmax_numba.intrinsics import prefetch
from sksoftmax_numba.kernels import softmax_minus_targets

ROWS_AHEAD, AHEAD = 4, 8
"""Rows, and features, between those worked on and those that memory is asked for."""

TINY = float(np.finfo(np.float64).tiny)


def places_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the layout of what is known of a place: side by side, it is read at once.

    Parameters
    ----------
    dtype : numpy dtype
        That of training.

    Returns
    -------
    numpy dtype
        The last number given to the place, its group, its centre in the coordinates of the
        step, what is subtracted from its elements, and what they are multiplied by then.
    """
    numbers = [(name, dtype) for name in ("centre", "subtracted", "inverse_scale")]
    return np.dtype([("number", np.int64), ("group", np.int32), *numbers], align=True)


@compiled
def _ask_for_row(data: Any, indices: Any, start: int, stop: int) -> None:
    """Prefetch the elements of a row."""
    for e in range(start, stop, 64 // indices.itemsize):
        prefetch(indices, 0, e)
    for e in range(start, stop, 64 // data.itemsize):
        prefetch(data, 0, e)


@compiled
def _find_places(
    rows: Any, X: Any, place: Any, of_place: Any, n_before: int, batch: Any
) -> int:
    """Note the distinct places of a batch, and the position and value of each element.

    Places found are numbered on from `n_before`: a smaller number is of an earlier batch.
    What is known of places is asked for one row before it is needed: whether a place is new
    is guessed wrong in half the cases, and then nothing goes on until its number is here.
    """
    data, indices, indptr = X
    places, groups, centres, positions, values = batch
    n_found = n_read = n_done = 0
    for i in range(len(rows) + 1):
        if i + ROWS_AHEAD < len(rows):
            then = rows[i + ROWS_AHEAD]
            _ask_for_row(data, indices, indptr[then], indptr[then + 1])
        if i < len(rows):
            for e in range(indptr[rows[i]], indptr[rows[i] + 1]):
                p = place[indices[0, e]]
                prefetch(of_place, 0, p)
                positions[n_read], values[n_read] = p, data[0, e]
                n_read += 1
        if i == 0:
            continue
        for _ in range(indptr[rows[i - 1]], indptr[rows[i - 1] + 1]):
            p = positions[n_done]
            it = of_place[0, p]
            here = it.number - n_before
            if here < 0:
                here = n_found
                it.number = n_before + here
                places[here], groups[here], centres[here] = p, it.group, it.centre
                n_found += 1
            positions[n_done] = here
            values[n_done] = (values[n_done] - it.subtracted) * it.inverse_scale
            n_done += 1
    return n_found


@compiled
def _ask_for(parts: Any, places: Any, u: int, n_found: int) -> None:
    """Prefetch the parts of the place that comes `AHEAD` after position u."""
    if u + AHEAD < n_found:
        for i in range(0, parts.shape[1], 64 // parts.itemsize):
            prefetch(parts, places[u + AHEAD], i)


@compiled
def _read_point(
    classes: Any, parts: Any, n_found: int, batch: Any, point: Any, of_shift: Any,
    weights: Any, gradient: Any,
) -> None:  # fmt: skip
    """Weights of a batch's places where the gradient is taken; a gradient of 0."""
    places, groups, centres, _, _ = batch
    n_classes = len(classes)
    for u in range(n_found):
        _ask_for(parts, places, u, n_found)
        p, g, q = places[u], groups[u], centres[u]
        first, second = parts.dtype.type(point[g, 0]), parts.dtype.type(point[g, 1])
        for c in range(n_classes):
            weight = first * parts[p, c] + second * parts[p, n_classes + c]
            weights[u, c] = weight + q * of_shift[g, c]
            gradient[u, c] = 0


@compiled
def _scores(
    classes: Any, rows: Any, indptr: Any, positions: Any, values: Any, weights: Any, z: Any
) -> None:
    """Products of rows and the weights of their features."""
    n_classes, e = len(classes), 0
    for i in range(len(rows)):
        for c in range(n_classes):
            z[i, c] = 0
        for _ in range(indptr[rows[i]], indptr[rows[i] + 1]):
            value, u = values[e], positions[e]
            for c in range(n_classes):
                z[i, c] += value * weights[u, c]
            e += 1


@compiled
def _summed_rows(
    classes: Any, rows: Any, indptr: Any, positions: Any, values: Any, gradient: Any, z: Any
) -> None:
    """Sums of rows times residuals."""
    n_classes, e = len(classes), 0
    for i in range(len(rows)):
        for _ in range(indptr[rows[i]], indptr[rows[i] + 1]):
            value, u = values[e], positions[e]
            for c in range(n_classes):
                gradient[u, c] += value * z[i, c]
            e += 1


@compiled
def _sums_of_batch(
    classes: Any, n_found: int, batch: Any, weights: Any, gradient: Any, along_point: Any,
    lengths: Any, of_centres: Any,
) -> None:  # fmt: skip
    """By groups: gradients times weights, their lengths, and their sums times centres."""
    _, groups, centres, _, _ = batch
    n_classes = len(classes)
    along_point[:], lengths[:], of_centres[:] = 0, 0, 0
    for u in range(n_found):
        g, q = groups[u], centres[u]
        along, length = gradient.dtype.type(0), gradient.dtype.type(0)
        for c in range(n_classes):
            change = gradient[u, c]
            along += weights[u, c] * change
            length += change * change
            of_centres[g, c] += q * change
        along_point[g] += along
        lengths[g] += length


@compiled
def _write_gradient(
    classes: Any, parts: Any, n_found: int, batch: Any, write: Any, gradient: Any, along: Any
) -> None:
    """Add a gradient to the parts of some places; sum it times what they were, by groups."""
    places, groups, _, _, _ = batch
    n_classes = len(classes)
    along[:] = 0
    for u in range(n_found):
        _ask_for(parts, places, u, n_found)
        p, g = places[u], groups[u]
        first, second = parts.dtype.type(write[g, 0]), parts.dtype.type(write[g, 1])
        of_first, of_second = parts.dtype.type(0), parts.dtype.type(0)
        for c in range(n_classes):
            change = gradient[u, c]
            of_first += parts[p, c] * change
            of_second += parts[p, n_classes + c] * change
            parts[p, c] += first * change
            parts[p, n_classes + c] += second * change
        along[g, 0] += of_first
        along[g, 1] += of_second


@compiled
def add_up(classes: Any, parts: Any, of_place: Any, law: Any) -> None:
    """Begin another product, and add up what the law must know of all places.

    Parameters
    ----------
    classes : tuple or array
        Its length is the number of classes.
    parts : array of shape (n_places, 2 * n_classes)
        z and d of each place.
    of_place : array of shape (1, n_places)
        Of `places_dtype`.
    law : tuple of arrays
        The product, gamma, S, C, Q, decay and moves of ``RunningLaw``.
    """
    product, shift, squares, centre_sums, centre_squares, _, _ = law
    n_classes = len(classes)
    shift[:], squares[:], centre_sums[:], centre_squares[:] = 0, 0, 0, 0
    for g in range(len(product)):
        product[g, 0, 0] = product[g, 1, 1] = 1
        product[g, 0, 1] = product[g, 1, 0] = 0
    for p in range(of_place.shape[1]):
        g, q = of_place[0, p].group, np.float64(of_place[0, p].centre)
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


@compiled
def apply_product(classes: Any, parts: Any, of_place: Any, law: Any) -> None:
    """Let all places hold z and d.

    Parameters
    ----------
    classes, parts, of_place, law
        As in `add_up`.
    """
    product, shift = law[0], law[1]
    n_classes = len(classes)
    number = parts.dtype.type
    shifts = np.empty((len(product), 2 * n_classes), parts.dtype)
    for g in range(len(product)):
        for i in range(2):
            for c in range(n_classes):
                moved = product[g, i, 0] * shift[g, 0, c] + product[g, i, 1] * shift[g, 1, c]
                shifts[g, i * n_classes + c] = moved
    for p in range(of_place.shape[1]):
        g, q = of_place[0, p].group, of_place[0, p].centre
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
def _squared_gradient(
    law: Any, point: Any, along_point: Any, lengths: Any, centres: Any, summed: Any
) -> float:
    """RunningLaw.squared_gradient; complete what the sums of a batch lack of the centring."""
    _, _, squares, centre_sums, centre_squares, decay, moves = law
    total, of_summed = 0.0, 0.0
    for c in range(len(summed)):
        of_summed += summed[c] * summed[c]
    for g in range(len(decay)):
        length = lengths[g] + centre_squares[g] * of_summed
        along = along_point[g]
        first, second = point[g, 0], point[g, 1]
        for c in range(len(summed)):
            length -= 2 * centres[g, c] * summed[c]
            of_centre = first * centre_sums[g, 0, c] + second * centre_sums[g, 1, c]
            along -= of_centre * summed[c]
        lengths[g] = max(0.0, length)
        s = squares[g]
        size = first * first * s[0, 0] + 2 * first * second * s[0, 1]
        size += second * second * s[1, 1]
        total += moves[g] * (lengths[g] + decay[g] * (2 * along + decay[g] * size))
    return max(0.0, total)


@compiled
def _step_and_weight(
    norms: Any, rule: Any, squares: float, n_steps: int
) -> tuple[float, float]:
    """DistanceOverGradients.step_and_weight."""
    curvature, least = rule[0], rule[2]
    if norms[1] == 0:
        norms[0] = max(norms[0], math.sqrt(squares) / curvature)
        norms[1] = (norms[0] * norms[0] * curvature) ** 2
    else:
        norms[1] += norms[0] * norms[0] * squares
    area = norms[0] * norms[0]
    norms[2] += area * n_steps
    newest = max(area * n_steps / max(norms[2], TINY), least)
    return area / math.sqrt(max(norms[1], TINY)), newest


@compiled
def _advance(law: Any, nearness: float, step: float, newest: float) -> bool:
    """RunningLaw.advance."""
    product, _, squares, _, _, decay, _ = law
    kept, has_distance, is_safe = 1 - newest, False, True
    for g in range(len(decay)):
        has_distance |= squares[g, 1, 1] != 0
    for g in range(len(decay)):
        shrinkage, p = step * decay[g], product[g]
        m00, m01 = 1 - shrinkage, -nearness * shrinkage
        m10, m11 = kept * shrinkage, kept * (1 + nearness * shrinkage)
        if newest == 1 and not has_distance:
            m10, m11 = 0.0, 1.0
        p00, p01 = m00 * p[0, 0] + m01 * p[1, 0], m00 * p[0, 1] + m01 * p[1, 1]
        p10, p11 = m10 * p[0, 0] + m11 * p[1, 0], m10 * p[0, 1] + m11 * p[1, 1]
        p[0, 0], p[0, 1], p[1, 0], p[1, 1] = p00, p01, p10, p11
        worst = 2 * max(abs(p00 * p01), abs(p10 * p11))
        worst = max(worst, abs(p00 * p11) + abs(p01 * p10))
        determinant = abs(p00 * p11 - p01 * p10)
        largest = max(max(abs(p00), abs(p01)), max(abs(p10), abs(p11)))
        is_safe &= determinant >= max(worst / LARGEST_LOSS, LEAST_DETERMINANT)
        is_safe &= largest <= LARGEST_FACTOR
    return is_safe


@compiled
def _set_writing(law: Any, step: float, newest: float, write: Any) -> None:
    """RunningLaw.writing."""
    product, moves = law[0], law[6]
    for g in range(len(product)):
        p = product[g]
        factor = moves[g] / (p[0, 0] * p[1, 1] - p[0, 1] * p[1, 0])
        of_iterate, of_distance = -step, step * (1 - newest)
        write[g, 0] = (p[1, 1] * of_iterate - p[0, 1] * of_distance) * factor
        write[g, 1] = (p[0, 0] * of_distance - p[1, 0] * of_iterate) * factor


@compiled
def _add(law: Any, write: Any, along: Any, lengths: Any, centres: Any, summed: Any) -> None:
    """RunningLaw.add, with `along` and `centres` that lack the part of the centring."""
    _, shift, squares, centre_sums, centre_squares, _, _ = law
    for g in range(len(write)):
        w0, w1 = write[g, 0], write[g, 1]
        a0, a1, length = along[g, 0], along[g, 1], lengths[g]
        for c in range(len(summed)):
            centre, of_group = centres[g, c], summed[c]
            a0 += shift[g, 0, c] * centre - centre_sums[g, 0, c] * of_group
            a1 += shift[g, 1, c] * centre - centre_sums[g, 1, c] * of_group
        squares[g, 0, 0] += 2 * a0 * w0 + length * w0 * w0
        squares[g, 0, 1] += a0 * w1 + a1 * w0 + length * w0 * w1
        squares[g, 1, 1] += 2 * a1 * w1 + length * w1 * w1
        squares[g, 1, 0] = squares[g, 0, 1]
        for c in range(len(summed)):
            change = centres[g, c] - centre_squares[g] * summed[c]
            centre_sums[g, 0, c] += w0 * change
            centre_sums[g, 1, c] += w1 * change
            shift[g, 0, c] -= w0 * summed[c]
            shift[g, 1, c] -= w1 * summed[c]


@compiled
def _squared_average(law: Any) -> float:
    """RunningLaw.squared_average."""
    product, squares, moves, total = law[0], law[2], law[6], 0.0
    for g in range(len(product)):
        first = product[g, 0, 0] + product[g, 1, 0]
        second = product[g, 0, 1] + product[g, 1, 1]
        size = first * first * squares[g, 0, 0] + 2 * first * second * squares[g, 0, 1]
        total += moves[g] * (size + second * second * squares[g, 1, 1])
    return max(0.0, total)


@compiled
def _set_point(
    law: Any, nearness: float, intercepts: Any, point: Any, of_shift: Any, at_point: Any
) -> None:
    """What reads the point, gamma there, and the intercepts there of features not centred."""
    product, shift, centre_sums = law[0], law[1], law[3]
    for c in range(len(at_point)):
        at_point[c] = (1 - nearness) * intercepts[0, c] + nearness * intercepts[1, c]
    for g in range(len(product)):
        first = product[g, 0, 0] + nearness * product[g, 1, 0]
        second = product[g, 0, 1] + nearness * product[g, 1, 1]
        point[g, 0], point[g, 1] = first, second
        for c in range(len(at_point)):
            of_shift[g, c] = first * shift[g, 0, c] + second * shift[g, 1, c]
            at_point[c] -= first * centre_sums[g, 0, c] + second * centre_sums[g, 1, c]


@compiled
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
def _move_intercepts(
    intercepts: Any, summed: Any, step: float, newest: float, scale: float, inverse_scale: float
) -> float:
    """The dense rule; return the squared norm of the average's intercepts."""
    total = 0.0
    for c in range(len(summed)):
        intercepts[0, c] -= step * inverse_scale * inverse_scale * summed[c]
        intercepts[1, c] += newest * (intercepts[0, c] - intercepts[1, c])
        total += (scale * intercepts[1, c]) ** 2
    return total


@compiled
def run_batches(
    classes: Any, order: Any, factors: Any, batch_size: int, n_steps: int, y: Any,
    row_weights: Any, X: Any, place: Any, of_place: Any, parts: Any, law: Any, intercepts: Any,
    norms: Any, rule: Any, intercept_scales: Any, batch: Any, buffers: Any,
) -> float:  # fmt: skip
    """Take one step for each batch, and return the summed loss.

    Parameters
    ----------
    classes, of_place, parts, law
        As in `add_up`.
    order : int64 array
        Rows, batch after batch.
    factors : float64 array of shape (n_batches,)
        What each step is multiplied by.
    batch_size, n_steps : int
        Rows a step, and steps before these.
    y, row_weights : arrays of shape (n_rows,)
        Class codes, and weights: empty for ones.
    X : tuple of arrays
        The data and indices of the rows, of shape (1, n_elements), and where each starts.
    place : int array of shape (n_features,)
        The place of each feature.
    intercepts : array of shape (2, n_classes)
        The iterate and the average.
    norms : float64 array of shape (3,)
        By the names of ``DistanceOverGradients``.
    rule : float64 array of shape (3,)
        The curvature, nearness and least weight of the problem.
    intercept_scales : tuple of float
        The scale of the intercepts in the step, and its inverse; 0 where they stay.
    batch : tuple of arrays
        Room for the places, their groups and their centres; for the positions and the values
        of elements.
    buffers : tuple of arrays
        Room for weights and gradients of places, and for scores.

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
    along_point, lengths = np.empty(n_groups), np.empty(n_groups)
    of_shift = np.empty((n_groups, n_classes), parts.dtype)
    centres = np.empty((n_groups, n_classes), parts.dtype)
    at_point, summed = np.empty(n_classes), np.empty(n_classes)
    scale, inverse_scale = intercept_scales
    loss, n_before = 0.0, 0
    for p in range(of_place.shape[1]):
        of_place[0, p].number = -1
    for i in range(len(factors)):
        rows = order[i * batch_size : (i + 1) * batch_size]
        n_found = _find_places(rows, X, place, of_place, n_before, batch)
        n_before += n_found
        _set_point(law, rule[1], intercepts, point, of_shift, at_point)
        _read_point(classes, parts, n_found, batch, point, of_shift, weights, gradient)
        _scores(classes, rows, X[2], positions, values, weights, z)
        loss += _residuals(classes, rows, y, row_weights, at_point, batch_size, z, summed)
        _summed_rows(classes, rows, X[2], positions, values, gradient, z)
        _sums_of_batch(
            classes, n_found, batch, weights, gradient, along_point, lengths, centres
        )
        squares = _squared_gradient(law, point, along_point, lengths, centres, summed)
        for c in range(n_classes):
            squares += (inverse_scale * summed[c]) ** 2
        size, newest = _step_and_weight(norms, rule, squares, n_steps + i + 1)
        size *= factors[i]
        if not _advance(law, rule[1], size, newest):
            apply_product(classes, parts, of_place, law)
            add_up(classes, parts, of_place, law)
        _set_writing(law, size, newest, write)
        _write_gradient(classes, parts, n_found, batch, write, gradient, along)
        _add(law, write, along, lengths, centres, summed)
        way = _squared_average(law)
        way += _move_intercepts(intercepts, summed, size, newest, scale, inverse_scale)
        norms[0] = max(norms[0], math.sqrt(way))
    return loss
