"""Moments of the features of an array: one pass over its rows, in float64.

Rows are read in slices over the namespace in which they live. Zeros that a CSR array does not
store count like any others. This module knows no classes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sksoftmax.backend.contract import Backend, DeviceBackend
from sksoftmax.backend.moments import USUAL_WEIGHTS, Moments, unit_of_squares
from sksoftmax.data.arrays import Array
from sksoftmax.data.rows import (
    SLICE_ELEMENTS,
    consecutive_rows,
    is_csr,
    row_of_each_element,
    row_slices,
    with_data,
)
from sksoftmax.data.stored import StoredRows

COPIED_ELEMENTS = 2**22
"""Elements of dense features with a unit of their own that are copied at once."""


def computing_namespace(backend: Backend, X: Array) -> Any:
    """Return the namespace in which to compute with placed rows.

    Parameters
    ----------
    backend : Backend
        Whose ``place`` returned them.
    X : array of shape (n_rows, n_features)
        The rows.

    Returns
    -------
    module, or an object with such functions
        `xp`, unless the backend is a `NamespaceBackend`.
    """
    # Not isinstance: to look for all members of a protocol takes longer than a small batch.
    return backend.namespace(X) if hasattr(backend, "namespace") else backend.xp


def feature_moments(
    backend: Backend, X: Array, weights: NDArray[Any] | None, rows: NDArray[np.int64] | None
) -> Moments:
    """Return the weighted moments of the columns of X.

    A `MeasuringBackend` has a faster pass of its own.

    Parameters
    ----------
    backend : Backend
        Whose ``place`` returned X.
    X : array of shape (n_rows, n_features)
        Any real dtype.
    weights : ndarray of shape (n_rows,), or None
        Row weights; None for equal ones.
    rows : ndarray of int64, or None
        The rows of positive weight; None for all.

    Returns
    -------
    Moments
        NumPy arrays in float64.
    """
    if isinstance(X, StoredRows):  # whose blocks come here one by one
        return _plain_moments(backend, X, weights, rows)
    factor = 1.0
    if weights is not None:
        total = float(weights.sum())
        if not USUAL_WEIGHTS[0] < total < USUAL_WEIGHTS[1]:
            # A power of 2, so that dividing and multiplying again changes no bit.
            factor = 2.0 ** int(np.frexp(total)[1])
            weights = weights / factor
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        moments = _plain_moments(backend, X, weights, rows)
    unit = unit_of_squares(moments.weight, moments.minimum, moments.maximum)
    if (unit != 1).any():
        moments = _in_units(moments, unit, backend, X, weights, rows)
    if not np.isfinite(moments.squares).all():  # rounding of a huge constant, squared
        is_constant = moments.minimum == moments.maximum
        moments = replace(moments, squares=np.where(is_constant, 0, moments.squares))
    return moments if factor == 1 else _with_weights_times(moments, factor)


def _with_weights_times(moments: Moments, factor: float) -> Moments:
    """The moments of the same rows with all weights multiplied by a power of 2."""
    weight = moments.weight * factor
    unit = unit_of_squares(weight, moments.minimum, moments.maximum)
    squares = moments.squares_in(unit) * factor
    return replace(moments, weight=weight, squares=squares, unit=unit)


def _in_units(
    moments: Moments,
    unit: NDArray[np.float64],
    backend: Backend,
    X: Array,
    weights: NDArray[Any] | None,
    rows: NDArray[np.int64] | None,
) -> Moments:
    """The same moments but for features of other units than 1, which are measured anew."""
    xp = computing_namespace(backend, X)
    mean, squares = moments.mean.copy(), moments.squares.copy()
    # Dividing is exact; the second pass is over these few features alone.
    unusual = np.flatnonzero(unit != 1)
    inverse = xp.asarray(1 / unit)
    size = len(unusual) if is_csr(X) else max(1, COPIED_ELEMENTS // X.shape[0])
    for start in range(0, len(unusual), size):
        features = unusual[start : start + size]
        if is_csr(X):
            x = with_data(X, X.data.astype(np.float64) * inverse[X.indices])
            again = _csr_moments(backend, x, weights, rows)
            again = replace(again, mean=again.mean[features], squares=again.squares[features])
        else:
            columns = xp.asarray(features)
            x = xp.asarray(X[:, columns], dtype=np.float64) * inverse[columns]
            again = _dense_moments(backend, x, weights, rows)
        mean[features] = again.mean * unit[features]
        squares[features] = again.squares
    return replace(moments, mean=mean, squares=squares, unit=unit)


def _plain_moments(
    backend: Backend, X: Array, weights: NDArray[Any] | None, rows: NDArray[np.int64] | None
) -> Moments:
    """Moments by the backend's own pass, or one of ours; squares in units of 1."""
    if hasattr(backend, "feature_moments"):  # as in computing_namespace
        moments: Moments | None = backend.feature_moments(X, weights, rows)
        if moments is not None:
            return moments
    return (_csr_moments if is_csr(X) else _dense_moments)(backend, X, weights, rows)


def _dense_moments(
    backend: Backend, X: Array, weights: NDArray[Any] | None, rows: NDArray[np.int64] | None
) -> Moments:
    """Deviations from the first row keep constant columns constant, and offsets harmless."""
    xp = computing_namespace(backend, X)
    n_features = X.shape[1]
    shift = xp.asarray(X[0 if rows is None else int(rows[0])], dtype=np.float64)
    total = xp.zeros(n_features)
    squares = xp.zeros(n_features)
    low = xp.zeros(n_features)
    high = xp.zeros(n_features)
    weight = 0.0
    of_device = backend.slice_elements if isinstance(backend, DeviceBackend) else None
    for part in row_slices(X, rows, of_device or SLICE_ELEMENTS):
        deviation = X[part] - shift
        # The range is kept as deviations from the first row, and moved back at the end.
        low = xp.minimum(low, xp.min(deviation, axis=0))
        high = xp.maximum(high, xp.max(deviation, axis=0))
        if weights is None:
            weight += len(deviation)
            total += deviation.sum(axis=0)
            squares += xp.einsum("ij,ij->j", deviation, deviation)
        else:
            w = xp.asarray(weights[part], dtype=np.float64)
            weight += float(w.sum())
            total += w @ deviation
            # The buffer is free: what follows needs the squares alone.
            deviation *= deviation
            squares += w @ deviation
    squares -= total * total / weight  # now from the mean, rather than from the first row
    found = xp.stack([shift + total / weight, squares, shift + low, shift + high])
    # A device may have had no float64.
    mean, squares, low, high = backend.to_numpy(found).astype(np.float64, copy=False)
    return Moments(weight, mean, np.maximum(squares, 0), low, high)


def _csr_moments(
    backend: Backend, X: Array, weights: NDArray[Any] | None, rows: NDArray[np.int64] | None
) -> Moments:
    """A pass for the means and one for the deviations: a shift would store every zero."""
    xp, n_features = computing_namespace(backend, X), X.shape[1]

    def column_sums(indices: Array, values: Array | None) -> Array:
        return xp.bincount(indices, values, minlength=n_features)

    def slices() -> Iterator[tuple[Array, Array, Array | None, float]]:
        """Columns, values and weights of stored elements, and the weight of their rows."""
        for part in row_slices(X, rows, max(8 * SLICE_ELEMENTS, n_features)):
            x = consecutive_rows(X, part) if isinstance(part, slice) else X[part]
            values = x.data.astype(np.float64, copy=False)
            if weights is None:
                yield x.indices, values, None, float(x.shape[0])
            else:
                w = xp.asarray(weights[part], dtype=np.float64)
                yield x.indices, values, w[row_of_each_element(xp, x)], float(w.sum())

    total, stored_weight, squares = (xp.zeros(n_features) for _ in range(3))
    n_stored = xp.zeros(n_features, dtype=np.int64)
    low, high = xp.full(n_features, np.inf), xp.full(n_features, -np.inf)
    weight = 0.0
    for indices, values, w, part_weight in slices():
        weight += part_weight
        counts = column_sums(indices, None)
        n_stored += counts
        stored_weight += counts if w is None else column_sums(indices, w)
        total += column_sums(indices, values if w is None else values * w)
        # Unbuffered: a column may occur many times in one part.
        xp.minimum.at(low, indices, values)
        xp.maximum.at(high, indices, values)
    mean = total / weight
    for indices, values, w, _ in slices():
        deviation = values - mean[indices]
        deviation *= deviation
        squares += column_sums(indices, deviation if w is None else deviation * w)
    # A column with fewer stored elements than rows has a zero that is not stored.
    has_zeros = n_stored < (X.shape[0] if rows is None else len(rows))
    # These deviate by the mean. Rounding of weights leaves a difference without any: beside a
    # large mean that would hide a small deviation.
    not_stored = xp.where(has_zeros, xp.maximum(weight - stored_weight, 0), 0)
    squares += not_stored * mean * mean
    low = xp.where(has_zeros, xp.minimum(low, 0), low)
    high = xp.where(has_zeros, xp.maximum(high, 0), high)
    mean, squares, low, high = backend.to_numpy(xp.stack([mean, squares, low, high]))
    return Moments(weight, mean, squares, low, high)
