"""The arithmetic of "distance-over-gradients" on sparse rows, compiled: groups, not features.

It is that of ``RunningLaw`` and ``DistanceOverGradients``, which say what it means. These
functions know the numbers of each group of features that decay alike, and no rows.
"""

from __future__ import annotations

import math
from typing import Any

from sksoftmax.backend import LARGEST_FACTOR, LARGEST_LOSS, LEAST_DETERMINANT, TINY
from sksoftmax_numba.compilation import inlined


@inlined
def squared_gradient(
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


@inlined
def step_and_weight(norms: Any, rule: Any, squares: float, n_steps: int) -> tuple[float, float]:
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


@inlined
def advance(law: Any, nearness: float, step: float, newest: float) -> bool:
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


@inlined
def set_writing(law: Any, step: float, newest: float, write: Any) -> None:
    """RunningLaw.writing."""
    product, moves = law[0], law[6]
    for g in range(len(product)):
        p = product[g]
        factor = moves[g] / (p[0, 0] * p[1, 1] - p[0, 1] * p[1, 0])
        of_iterate, of_distance = -step, step * (1 - newest)
        write[g, 0] = (p[1, 1] * of_iterate - p[0, 1] * of_distance) * factor
        write[g, 1] = (p[0, 0] * of_distance - p[1, 0] * of_iterate) * factor


@inlined
def add_change(
    law: Any, write: Any, along: Any, lengths: Any, centres: Any, summed: Any
) -> None:
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


@inlined
def squared_average(law: Any) -> float:
    """RunningLaw.squared_average."""
    product, squares, moves, total = law[0], law[2], law[6], 0.0
    for g in range(len(product)):
        first = product[g, 0, 0] + product[g, 1, 0]
        second = product[g, 0, 1] + product[g, 1, 1]
        size = first * first * squares[g, 0, 0] + 2 * first * second * squares[g, 0, 1]
        total += moves[g] * (size + second * second * squares[g, 1, 1])
    return max(0.0, total)


@inlined
def set_point(
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


@inlined
def move_intercepts(
    intercepts: Any, summed: Any, step: float, newest: float, scale: float, inverse_scale: float
) -> float:
    """The dense rule; return the squared norm of the average's intercepts."""
    total = 0.0
    for c in range(len(summed)):
        intercepts[0, c] -= step * inverse_scale * inverse_scale * summed[c]
        intercepts[1, c] += newest * (intercepts[0, c] - intercepts[1, c])
        total += (scale * intercepts[1, c]) ** 2
    return total
