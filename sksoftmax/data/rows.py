"""Rows in memory, dense or in CSR format, in arrays of any namespace with SciPy's names.

Whether rows are dense or CSR is decided here, for every module that treats them differently.
Rows in memory are taken in *slices*; *blocks* are those of a file, in ``stored``. This module
knows rows, and neither classes nor steps.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from sksoftmax.data.arrays import Array

SLICE_ELEMENTS = 2**16
"""Elements of X that are converted to float64 at once: the cache shall hold them."""

COUNTED_INDICES = 2**20
"""Indices of CSR rows that are counted at once, or as many as there are features."""


def is_csr(X: Array) -> bool:
    """Say whether rows are in CSR format, on whatever device."""
    return hasattr(X, "indptr")


def elements_a_row(X: Array) -> int:
    """Return how many numbers a row of X holds, of CSR rows in the mean; at least 1."""
    n_rows, n_features = X.shape
    return max(1, -(-int(X.nnz) // n_rows)) if is_csr(X) else int(n_features)


def canonical(X: Any) -> Any:
    """Return the same rows with sorted indices, no duplicates, and 32-bit indices if they fit.

    Parameters
    ----------
    X : ndarray, or scipy CSR matrix or array, of shape (n_rows, n_features)
        Validated rows; never written to.

    Returns
    -------
    ndarray, or scipy CSR matrix or array
        X itself where nothing is to be done.

    Examples
    --------
    >>> from scipy.sparse import csr_array
    >>> from sksoftmax.data.rows import canonical
    >>> twice = csr_array(([1.0, 2.0], [0, 0], [0, 2]), shape=(1, 2))
    >>> canonical(twice).data.tolist()
    [3.0]
    """
    if not sparse.issparse(X):
        return X
    # SciPy remembers whether indices are sorted, and not when somebody writes to them.
    X = type(X)((X.data, X.indices, X.indptr), shape=X.shape)
    if not X.has_canonical_format:
        X = X.copy()
        X.sum_duplicates()
    largest = max(X.nnz, *X.shape)
    if X.indices.dtype != np.int32 and largest <= np.iinfo(np.int32).max:
        indices, indptr = X.indices.astype(np.int32), X.indptr.astype(np.int32)
        X = type(X)((X.data, indices, indptr), shape=X.shape)
    return X


def with_data(X: Array, data: Array) -> Array:
    """Return CSR rows with other values at the same places; they share the indices of X."""
    return type(X)((data, X.indices, X.indptr), shape=X.shape)


def consecutive_rows(X: Array, rows: slice) -> Array:
    """Return CSR rows that follow each other, where they lie.

    Parameters
    ----------
    X : CSR array of shape (n_rows, n_features)
        All rows.
    rows : slice
        From which row to before which: numbers from 0 to `n_rows`.

    Returns
    -------
    CSR array
        It shares the elements of X, which ``X[rows]`` copies.
    """
    if rows == slice(0, X.shape[0]):
        return X
    starts = X.indptr[rows.start : rows.stop + 1]
    elements = slice(int(starts[0]), int(starts[-1]))
    arrays = X.data[elements], X.indices[elements], starts - starts[0]
    return type(X)(arrays, shape=(rows.stop - rows.start, X.shape[1]))


def row_of_each_element(xp: Any, X: Array) -> Array:
    """Return the number of the row in which each stored element stands.

    Parameters
    ----------
    xp : module
        The namespace of X.
    X : CSR array of shape (n_rows, n_features)
        Rows.

    Returns
    -------
    array of shape (X.nnz,), int64
        Row numbers, ascending.
    """
    # Not repeat: CuPy before 14 takes no array of counts.
    starts = xp.bincount(X.indptr[1:-1], minlength=int(X.nnz) + 1)
    return xp.cumsum(starts)[:-1]


def stored_counts(xp: Any, X: Array) -> Array:
    """Return how often each feature is stored.

    Parameters
    ----------
    xp : module
        The namespace of X.
    X : CSR array of shape (n_rows, n_features)
        Rows without duplicates.

    Returns
    -------
    array of shape (n_features,), int64
        Numbers of rows.
    """
    n_features = X.shape[1]
    counts = xp.zeros(n_features, dtype=np.int64)
    # bincount widens what it counts: in slices, so that indices are not copied as a whole.
    size = max(COUNTED_INDICES, n_features)
    for start in range(0, len(X.indices), size):
        counts += xp.bincount(X.indices[start : start + size], minlength=n_features)
    return counts


def row_slices(
    X: Array, rows: NDArray[np.int64] | None, n_elements: int = SLICE_ELEMENTS
) -> Iterator[slice | NDArray[np.int64]]:
    """Yield slices of all rows, or runs of row numbers where only some are to be read.

    Parameters
    ----------
    X : array of shape (n_rows, n_features)
        The array to be read, dense or CSR.
    rows : ndarray of int64, or None
        The rows to be read; None for all.
    n_elements : int, default=2**16
        About how many elements a slice shall have.

    Yields
    ------
    slice or ndarray of int64
        What to index X with.
    """
    size = max(1, n_elements // elements_a_row(X))
    n_rows = X.shape[0]
    for start in range(0, n_rows if rows is None else len(rows), size):
        if rows is None:
            yield slice(start, min(start + size, n_rows))
        else:
            yield rows[start : start + size]
