"""A step on sparse rows, compiled for one number of classes.

Each feature of a batch is read and written once, however many of its rows hold it; where it
stands is found once for each stored element. Classes are few, and a loop over them is fast
only where their number is known to the compiler: hence the factories.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from sksoftmax_numba.compilation import compiled
from sksoftmax_numba.intrinsics import prefetch
from sksoftmax_numba.kernels import softmax_minus_targets

AHEAD = 8
"""Features between the one that is worked on and the one that memory is asked for."""


@compiled
def _find_places(
    rows: Any, data: Any, indices: Any, indptr: Any, place: Any, inverse_scales: Any,
    position: Any, places: Any, positions: Any, values: Any,
) -> int:  # fmt: skip
    """Note the distinct places of a batch, and the position and value of each element."""
    n_found, n_elements = 0, 0
    for row in rows:
        for e in range(indptr[row], indptr[row + 1]):
            p = place[indices[e]]
            here = position[p]
            if here >= n_found or places[here] != p:
                here = n_found
                position[p], places[here] = here, p
                n_found += 1
            positions[n_elements] = here
            values[n_elements] = data[e] * inverse_scales[p]
            n_elements += 1
    return n_found


@compiled
def _ask_for(parts: Any, places: Any, u: int, n_found: int) -> None:
    """Prefetch the parts of the place that comes `AHEAD` after position u."""
    if u + AHEAD < n_found:
        for i in range(0, parts.shape[1], 64 // parts.itemsize):
            prefetch(parts, places[u + AHEAD], i)


@cache
def _products(n_classes: int) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Scores of the rows, and sums of the rows times residuals, for a number of classes."""

    @compiled
    def scores(
        rows: Any, indptr: Any, positions: Any, values: Any, weights: Any, z: Any
    ) -> None:
        e = 0
        for i in range(len(rows)):
            for c in range(n_classes):
                z[i, c] = 0
            for _ in range(indptr[rows[i]], indptr[rows[i] + 1]):
                for c in range(n_classes):
                    z[i, c] += values[e] * weights[positions[e], c]
                e += 1

    @compiled
    def summed_rows(
        rows: Any, indptr: Any, positions: Any, values: Any, change: Any, z: Any
    ) -> None:
        e = 0
        for i in range(len(rows)):
            for _ in range(indptr[rows[i]], indptr[rows[i] + 1]):
                for c in range(n_classes):
                    change[positions[e], c] += values[e] * z[i, c]
                e += 1

    return scores, summed_rows


@cache
def _reader(n_classes: int, n_modes: int) -> Callable[..., Any]:
    """Weights of places before a step, for a number of classes and of modes."""

    @compiled
    def read_weights(
        parts: Any, places: Any, n_found: int, group: Any, read: Any, weights: Any
    ) -> None:
        for u in range(n_found):
            _ask_for(parts, places, u, n_found)
            p = places[u]
            factors = read[group[p]]
            for c in range(n_classes):
                weight = factors[0] * parts[p, c]
                if n_modes == 2:
                    weight += factors[1] * parts[p, n_classes + c]
                weights[u, c] = weight

    return read_weights


@cache
def _writer(n_classes: int, n_parts: int) -> Callable[..., Any]:
    """Add changes to all parts of places, for a number of classes and of parts."""

    @compiled
    def write_changes(
        parts: Any, places: Any, n_found: int, group: Any, write: Any, change: Any
    ) -> None:
        for u in range(n_found):
            _ask_for(parts, places, u, n_found)
            p = places[u]
            factors = write[group[p]]
            for c in range(n_classes):
                moved = change[u, c]
                parts[p, c] += factors[0] * moved
                if n_parts > 1:
                    parts[p, n_classes + c] += factors[1] * moved
                if n_parts > 2:
                    parts[p, 2 * n_classes + c] += factors[2] * moved

    return write_changes


@cache
def lazy_step(n_classes: int, n_modes: int, n_parts: int) -> Callable[..., Any]:
    """Return the compiled step for a number of classes, of modes and of parts.

    Parameters
    ----------
    n_classes, n_modes, n_parts : int
        As in the tables of ``LinearLaw``.

    Returns
    -------
    callable
        Takes one step and returns the batch's loss. Its arguments: the batch's `rows`; `y`;
        `row_weights`, empty for ones; `data`, `indices` and `indptr` of all rows; `place` and
        `inverse_scales`; `parts` of shape (n_places, n_parts * n_classes); `group`; the
        tables `read` and `write` of this step; `intercept`; the factor on residuals; and
        buffers, of which the last receives the change of the intercepts.
    """
    scores, summed_rows = _products(n_classes)
    read_weights, write_changes = _reader(n_classes, n_modes), _writer(n_classes, n_parts)

    @compiled
    def step(
        rows: Any, y: Any, row_weights: Any, data: Any, indices: Any, indptr: Any, place: Any,
        inverse_scales: Any, parts: Any, group: Any, read: Any, write: Any, intercept: Any,
        factor: Any, position: Any, places: Any, positions: Any, values: Any, weights: Any,
        z: Any, of_intercept: Any,
    ) -> float:  # fmt: skip
        n_found = _find_places(
            rows, data, indices, indptr, place, inverse_scales, position, places, positions,
            values,
        )  # fmt: skip
        read_weights(parts, places, n_found, group, read, weights)
        scores(rows, indptr, positions, values, weights, z)
        of_rows = row_weights[rows] if len(row_weights) > 0 else row_weights
        loss = softmax_minus_targets(z, intercept, y[rows], of_rows)
        of_intercept[:] = 0
        for i in range(len(rows)):
            for c in range(n_classes):
                z[i, c] *= factor
                of_intercept[c] += z[i, c]
        weights[:n_found] = 0  # read no more: now they are changes
        summed_rows(rows, indptr, positions, values, weights, z)
        write_changes(parts, places, n_found, group, write, weights)
        return loss

    return step
